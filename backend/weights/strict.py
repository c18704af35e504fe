"""Strict loading of weights: every tensor must have a place and the right shape."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from backend.errors import BadCheckpoint


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Loads `tensors` into a module. Raises `BadCheckpoint` naming any that do not fit."""
    check_fit(module.state_dict(), tensors)
    module.load_state_dict(dict(tensors), strict=True)


def check_fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raises `BadCheckpoint` naming every tensor that is missing, unexpected or of another shape than `expected`."""
    problems = {
        "missing": sorted(set(expected) - set(tensors)),
        "unexpected": sorted(set(tensors) - set(expected)),
        "mis-shaped": [
            f"{name} {list(tensors[name].shape)} instead of {list(expected[name].shape)}"
            for name in sorted(set(expected) & set(tensors))
            if expected[name].shape != tensors[name].shape
        ],
    }
    parts = [f"{len(names)} {kind}: {_first_names(names)}" for kind, names in problems.items() if names]
    if parts:
        raise BadCheckpoint(f"Weights do not fit the model ({'; '.join(parts)}). Use the config they were saved with.")


def _first_names(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
