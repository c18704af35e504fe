"""Codec checkpoint folders: `codec.json` is the manifest, `codec.safetensors` the weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from backend.atomic_file import file_sha256, write_atomically
from backend.codec.base import CausalCodec
from backend.codec.registry import build_codec, registered_name
from backend.errors import BadCheckpoint, OutputError
from backend.weights.int8_storage import from_int8_rows, to_int8_rows
from backend.weights.strict import load_strictly
from backend.weights.tensor_files import read_tensors

FORMAT = 1
MANIFEST = "codec.json"
WEIGHTS = "codec.safetensors"
FOREIGN_WEIGHTS = "codec.pth"
# Written by `save_codec`; user metadata must not use these keys.
OWN_KEYS = ("format", "codec", "config", "storage", "max_rounding_error", "weights_sha256", "codes_sha256")
MAX_MANIFEST_BYTES = 1 << 20
FP16_MAX = 65504.0


def save_codec(
    folder: Path, codec: CausalCodec, metadata: Mapping[str, Any] | None = None, *,
    config: Mapping[str, Any] | None = None, storage: Literal["fp32", "fp16"] = "fp32",
    int8_parts: Sequence[str] = (),
) -> float:  # fmt: skip
    """Writes a codec checkpoint folder and returns the largest rounding error of any weight (0.0 for fp32).

    `config` holds the constructor's arguments; None uses `codec.config`. fp16 rounds a weight by at most 2^-11 of
    itself (2^-25 near zero) and leaves tensors out of its range as they are; the manifest records the measured error.
    Matrices of `int8_parts`, for example `decoder.f0_network`, are stored as 8-bit rows. Each file is written
    atomically. Raises `OutputError` if the folder cannot be written.
    """
    metadata = dict(metadata or {})
    reserved = sorted(set(metadata) & set(OWN_KEYS))
    if reserved:
        raise BadCheckpoint(f"Metadata uses the reserved keys {reserved}. Rename them.")
    tensors = {name: tensor.detach().cpu() for name, tensor in codec.state_dict().items()}
    prefixes = tuple(f"{part}." for part in int8_parts)
    if meaning := [part for part in int8_parts if part.split(".")[0] in codec.code_parts]:
        raise BadCheckpoint(f"{', '.join(meaning)} determine the codes, which 8 bits would change. Choose other parts.")
    rows = (
        to_int8_rows({name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)})
        if prefixes
        else {}
    )
    stored = {name: _stored(tensor, storage) for name, tensor in tensors.items() if name not in rows} | rows
    plain = from_int8_rows(stored)
    error = max((_difference(tensors[name], plain[name]) for name in tensors), default=0.0)
    weights = save(stored)
    manifest = {
        "format": FORMAT,
        "codec": registered_name(codec),
        "config": dict(codec.config if config is None else config),  # type: ignore[arg-type]
        "storage": storage,
        "max_rounding_error": error,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "codes_sha256": _codes_sha256(codec, tensors),
        **metadata,
    }
    text = json.dumps(manifest, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / WEIGHTS, weights)
        # Last, and with the hash of the weights, so that loading detects an interrupted save.
        write_atomically(folder / MANIFEST, text.encode())
    except OSError as cause:
        raise OutputError(
            f"Checkpoint folder '{folder.name}' cannot be written ({cause.strerror}). Choose another folder."
        ) from cause
    return error


def load_codec(folder: Path, device: torch.device | str = "cpu") -> CausalCodec:
    """Loads a codec in fp32 and eval mode.

    A folder without `codec.json` but with `codec.pth` or `codec.safetensors` is read as a Fish codec. Raises
    `BadCheckpoint` for missing or damaged files and for weights that do not fit the model, naming them.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        if not (folder / FOREIGN_WEIGHTS).is_file() and not (folder / WEIGHTS).is_file():
            raise BadCheckpoint(
                f"'{folder.name}' has no {MANIFEST}, {WEIGHTS} or {FOREIGN_WEIGHTS}; expected a codec checkpoint. "
                "Pass the folder that contains them."
            )
        from backend.weights.fish_codec import load_fish_codec

        return load_fish_codec(folder, device)
    manifest = read_manifest(folder)
    tensors = from_int8_rows(read_tensors(folder / WEIGHTS))
    if "weights_sha256" in manifest and manifest["weights_sha256"] != weights_hash(folder):
        raise BadCheckpoint(
            f"'{WEIGHTS}' in '{folder.name}' is not the file {MANIFEST} was written for. "
            "Save or download the checkpoint again."
        )
    # Initial weights are random and replaced below; the caller's random state must not change.
    with torch.random.fork_rng(devices=[]):
        codec = build_codec(manifest["codec"], manifest["config"])
    load_strictly(codec, tensors)
    return codec.to(device).eval()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the validated content of `codec.json`: `format`, `codec`, `config` and other metadata."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(
            f"{MANIFEST} in '{folder.name}' is not readable JSON. Save the checkpoint again."
        ) from error
    required = {"format": int, "codec": str, "config": dict}
    wrong = [
        key
        for key, kind in required.items()
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind)
    ]
    if wrong:
        raise BadCheckpoint(
            f"{MANIFEST} in '{folder.name}' has missing or mistyped keys: {', '.join(wrong)}. Save the checkpoint again."
        )
    if manifest["format"] != FORMAT:
        raise BadCheckpoint(
            f"{MANIFEST} in '{folder.name}' has format {manifest['format']}; this version reads format {FORMAT}. "
            "Update Phonogram, or save the checkpoint again."
        )
    return manifest


def weights_hash(folder: Path) -> str:
    """Returns the SHA-256 of the weight file's bytes, in hexadecimal."""
    for name in (WEIGHTS, FOREIGN_WEIGHTS):
        if (folder / name).is_file():
            return file_sha256(folder / name)
    raise BadCheckpoint(f"'{folder.name}' has no {WEIGHTS} or {FOREIGN_WEIGHTS}. Pass a codec checkpoint folder.")


def codes_hash(folder: Path) -> str:
    """Returns the SHA-256, in hexadecimal, of the weights that define the codes: a codec's identity in code files.

    Codecs without `code_parts` and foreign checkpoints use `weights_hash`.
    """
    if (folder / MANIFEST).is_file() and (recorded := read_manifest(folder).get("codes_sha256")):
        return recorded
    return weights_hash(folder)


def _codes_sha256(codec: CausalCodec, tensors: Mapping[str, Tensor]) -> str | None:
    if not codec.code_parts:
        return None
    prefixes = tuple(f"{part}." for part in codec.code_parts)
    # Rounded to fp16, so that the hash does not depend on the storage format.
    kept = {name: _stored(tensors[name], "fp16") for name in sorted(tensors) if name.startswith(prefixes)}
    return hashlib.sha256(save(kept)).hexdigest()


def _stored(tensor: Tensor, storage: str) -> Tensor:
    if storage == "fp16" and tensor.is_floating_point() and not (tensor.abs() > FP16_MAX).any():
        return tensor.to(torch.float16, memory_format=torch.contiguous_format)
    # A copy: tied weights share memory, which safetensors rejects.
    return tensor.clone(memory_format=torch.contiguous_format)


def _difference(tensor: Tensor, stored: Tensor) -> float:
    if not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    return float((tensor.double() - stored.double()).abs().max())
