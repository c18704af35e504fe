"""Reads weight files without executing anything in them; the only module that opens them."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backend.errors import BadCheckpoint

PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
# Training frameworks nest the tensors under these keys.
WRAPPERS = ("state_dict", "model")
# Errors that torch.load raises on damaged or hostile files, depending on where reading fails.
READ_ERRORS = (
    pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, TypeError, AttributeError, LookupError,
    AssertionError, ArithmeticError, MemoryError, ImportError, struct.error,
)  # fmt: skip


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a `.safetensors`, `.pth`, `.pt`, `.ckpt` or `.bin` file by name, memory-mapped on CPU.

    Pickles are read with `weights_only=True`. Raises `BadCheckpoint` for a file that is missing, truncated, hostile, or
    holds anything but tensors.
    """
    if not path.is_file():
        raise BadCheckpoint(f"Weight file '{path.name}' is missing. Restore it, or download the checkpoint again.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path) from error
    if path.suffix not in PICKLE_SUFFIXES:
        known = ", ".join((".safetensors", *PICKLE_SUFFIXES))
        raise BadCheckpoint(f"'{path.name}' is not a weight file; expected one of {known}. Convert it first.")
    return _flatten(path, _unpickled(path))


def read_export(path: Path) -> dict[str, Any]:
    """Reads an audiocraft export: `best_state` (tensors) and `xp.cfg` (YAML), or `pretrained` (a codec's name).

    Raises `BadCheckpoint` as `read_tensors` does.
    """
    if not path.is_file():
        raise BadCheckpoint(f"Weight file '{path.name}' is missing. Restore it, or download the checkpoint again.")
    loaded = _unpickled(path)
    if isinstance(loaded, Mapping) and isinstance(loaded.get("pretrained"), str):
        return {"pretrained": loaded["pretrained"]}
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get("xp.cfg"), str):
        raise BadCheckpoint(f"'{path.name}' is not an audiocraft export: it has no 'xp.cfg'. Download it again.")
    return {"xp.cfg": loaded["xp.cfg"], "best_state": _flatten(path, loaded.get("best_state"))}


def _unpickled(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # PyTorch advises reporting newer pickle protocols; they load or are rejected below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            # Only zip files can be mapped; older files are read whole.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except READ_ERRORS as error:
        raise _damaged(path) from error


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _flatten(path: Path, loaded: object) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise BadCheckpoint(
            f"'{path.name}' holds a {type(loaded).__name__}; expected a dictionary of tensors. Save the model's state dict."
        )
    foreign = [str(key) for key, value in loaded.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if foreign:
        raise BadCheckpoint(
            f"'{path.name}' has entries that are not tensors: {', '.join(foreign[:5])}. "
            "Save only the model's state dict."
        )
    return dict(loaded)


def _damaged(path: Path) -> BadCheckpoint:
    return BadCheckpoint(
        f"'{path.name}' cannot be read as weights: it is truncated, damaged, or holds objects other than tensors. "
        "Download or save it again."
    )
