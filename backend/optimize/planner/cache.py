"""Cached plans: one small JSON file per machine, weights and options, in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend.atomic_file import write_atomically
from backend.hardware import current_hardware
from backend.optimize.planner.decision import Plan, PlanOptions

log = logging.getLogger(__name__)
FOLDER_VARIABLE = "PHONOGRAM_CACHE_DIR"
SAMPLED = 64  # entries of each tensor in the fingerprint of a model without a checkpoint hash


def plan_folder() -> Path:
    """Returns the folder of plans: in `PHONOGRAM_CACHE_DIR` if set, otherwise in the system's cache folder."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named) / "plans"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "phonogram" / "plans"


def machine(device: torch.device) -> dict[str, Any]:
    """Returns what measurements depend on besides the model."""
    return {
        **asdict(current_hardware(), dict_factory=_as_json), "torch": torch.__version__, "device": device.type,
    }  # fmt: skip


def _as_json(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    # A plan compares its key as JSON, which has lists but no tuples.
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields}


def fingerprint(model: nn.Module) -> str:
    """Returns a hash of names, shapes, dtypes and a few entries of every tensor."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().flatten()[:SAMPLED].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def plan_key(device: torch.device, options: PlanOptions, weights: str) -> dict[str, Any]:
    return {"machine": machine(device), "weights": weights, "wishes": asdict(options)}


def plan_path(key: dict[str, Any], folder: Path) -> Path:
    return folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.json"


def read_plan(key: dict[str, Any], folder: Path) -> Plan | None:
    """Returns the cached plan for `key`, or None if there is none or it is invalid."""
    path = plan_path(key, folder)
    try:
        return Plan.from_json(path.read_text(encoding="utf-8"), key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the plan in %s cannot be used (%s): measuring again", path.name, error)
        return None


def write_plan(plan: Plan, key: dict[str, Any], folder: Path) -> None:
    """Writes `plan` atomically. If the folder cannot be written, the next start measures again."""
    path = plan_path(key, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, plan.to_json(key).encode())
    except OSError as error:
        log.warning("the plan could not be saved (%s): the next start measures again", error)
