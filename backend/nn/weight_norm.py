"""Fold weight normalisation into plain weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.errors import BadCheckpoint

_PAIRS = {
    ".parametrizations.weight.original0": (".parametrizations.weight.original1", ".weight"),
    ".weight_g": (".weight_v", ".weight"),
}


def fold(magnitude: Tensor, direction: Tensor) -> Tensor:
    """The weight `magnitude` * `direction` / |`direction`|, each row of dimension 0 by its own norm."""
    norm = direction.flatten(1).norm(dim=1).view(magnitude.shape)
    return direction * (magnitude / norm)


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace every magnitude and direction pair, in either of PyTorch's two namings, by its plain weight.

    Raises `BadCheckpoint` where one of a pair is missing or the shapes do not belong together.
    """
    folded = dict(weights)
    for name in weights:
        for g_suffix, (v_suffix, suffix) in _PAIRS.items():
            if name.endswith(v_suffix) and name.removesuffix(v_suffix) + g_suffix not in weights:
                raise BadCheckpoint(f"'{name}' has no '{name.removesuffix(v_suffix)}{g_suffix}' beside it.")
            if not name.endswith(g_suffix):
                continue
            stem = name.removesuffix(g_suffix)
            if stem + v_suffix not in weights:
                raise BadCheckpoint(f"'{name}' has no '{stem}{v_suffix}' beside it.")
            magnitude, direction = folded.pop(name), folded.pop(stem + v_suffix)
            expected = (direction.shape[0], *[1] * (direction.dim() - 1))
            if tuple(magnitude.shape) != expected:
                raise BadCheckpoint(f"'{name}' has shape {tuple(magnitude.shape)}; expected {expected}.")
            folded[stem + suffix] = fold(magnitude, direction)
    return folded
