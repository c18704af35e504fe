"""Folds weight normalization into plain weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backend.errors import BadCheckpoint

_PAIRS = {
    ".parametrizations.weight.original0": (".parametrizations.weight.original1", ".weight"),
    ".weight_g": (".weight_v", ".weight"),
}


def fold(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Returns `magnitude` * `direction` / |`direction`|, with one norm per row of dimension 0."""
    norm = direction.flatten(1).norm(dim=1).view(magnitude.shape)
    return direction * (magnitude / norm)


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces every magnitude and direction pair, in either of PyTorch's two namings, with its plain weight.

    Raises `BadCheckpoint` if one of a pair is missing or their shapes differ.
    """
    folded = dict(weights)
    for name in weights:
        for g_suffix, (v_suffix, suffix) in _PAIRS.items():
            if name.endswith(v_suffix) and name.removesuffix(v_suffix) + g_suffix not in weights:
                raise BadCheckpoint(
                    f"'{name}' has no '{name.removesuffix(v_suffix)}{g_suffix}' to match. Save or download the checkpoint again."
                )
            if not name.endswith(g_suffix):
                continue
            stem = name.removesuffix(g_suffix)
            if stem + v_suffix not in weights:
                raise BadCheckpoint(
                    f"'{name}' has no '{stem}{v_suffix}' to match. Save or download the checkpoint again."
                )
            magnitude, direction = folded.pop(name), folded.pop(stem + v_suffix)
            expected = (direction.shape[0], *[1] * (direction.dim() - 1))
            if tuple(magnitude.shape) != expected:
                raise BadCheckpoint(
                    f"'{name}' has shape {tuple(magnitude.shape)}; expected {expected}. Save or download the checkpoint again."
                )
            folded[stem + suffix] = fold(magnitude, direction)
    return folded
