"""Int8 storage of weights: `X.weight` in int8 with one scale per row in `X.scales`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

WEIGHT, SCALES = ".weight", ".scales"
LARGEST = 127.0


def to_int8_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts every matrix [N, D] to int8 rows and float32 scales [N], with an error of at most half a scale; others
    to float16.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() == 2 and name.endswith(WEIGHT) and tensor.is_floating_point():
            scales = tensor.float().abs().amax(dim=1).clamp(min=1e-12) / LARGEST
            stored[name] = (tensor.float() / scales[:, None]).round().to(torch.int8)
            stored[name.removesuffix(WEIGHT) + SCALES] = scales
        else:
            stored[name] = tensor.half() if tensor.is_floating_point() else tensor
    return stored


def from_int8_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts int8 rows that have scales to float32; returns all other tensors unchanged."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        scales = tensors.get(name.removesuffix(WEIGHT) + SCALES) if name.endswith(WEIGHT) else None
        if tensor.dtype == torch.int8 and scales is not None:
            plain[name] = tensor.float() * scales.float()[:, None]
        elif not (name.endswith(SCALES) and name.removesuffix(SCALES) + WEIGHT in tensors):
            plain[name] = tensor
    return plain
