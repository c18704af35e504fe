"""Atomic snapshots with everything a run needs to resume.

A snapshot is a folder `step-000001200` with `state.safetensors` (every tensor under a dotted name) and `state.json`
(the rest, and the checksums of both). It is written under another name, flushed and then renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from backend.errors import BadCheckpoint

FORMAT = 1
PREFIX = "step-"


def save_snapshot(root: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Writes nested dicts and lists of tensors and plain values; keeps the last `keep` snapshots."""
    root.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    plain = _split(state, "", tensors)
    blob = save(tensors)
    checks = {"sha256": sha256(blob).hexdigest(), "state_sha256": _digest(plain)}
    sidecar = {"format": FORMAT, "step": step, **checks, "state": plain}
    final = root / f"{PREFIX}{step:09d}"
    partial = root / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    _write(partial / "state.safetensors", blob)
    _write(partial / "state.json", json.dumps(sidecar).encode())
    if final.exists():
        shutil.rmtree(final)
    os.replace(partial, final)
    for old in snapshots(root)[:-keep]:
        shutil.rmtree(old)
    return final


def snapshots(root: Path) -> list[Path]:
    """Returns the snapshot folders, oldest first."""
    return sorted(path for path in root.glob(f"{PREFIX}*") if path.is_dir()) if root.is_dir() else []


def load_snapshot(folder: Path) -> dict[str, Any]:
    """Returns the saved state, with tensors on CPU. Raises `BadCheckpoint` if it is damaged."""
    try:
        sidecar = json.loads((folder / "state.json").read_text())
        blob = (folder / "state.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise BadCheckpoint(
            f"Snapshot '{folder.name}' cannot be read; delete it to resume from the previous one."
        ) from error
    # Early snapshots of format 1 have no checksum of the state.
    is_whole = sidecar.get("state_sha256") in (None, _digest(sidecar.get("state")))
    if sidecar.get("format") != FORMAT or not is_whole or sha256(blob).hexdigest() != sidecar.get("sha256"):
        raise BadCheckpoint(
            f"Snapshot '{folder.name}' does not match its checksum or format {FORMAT}; "
            "delete it to resume from the previous one."
        )
    return _join(sidecar["state"], load(blob))


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replaces each tensor by a reference and collects it under its dotted name."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"$tensor": name}
    if isinstance(value, dict):
        # Pairs instead of an object: optimizer states have integer keys, which JSON would convert to strings.
        return {"$dict": [[key, _split(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    if isinstance(value, dict):
        if "$tensor" in value:
            return tensors[value["$tensor"]]
        return {key: _join(item, tensors) for key, item in value["$dict"]}
    return value


def _digest(plain: Any) -> str:
    return sha256(json.dumps(plain).encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def random_state() -> dict[str, Any]:
    """Returns the state of the global random generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
