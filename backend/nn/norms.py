"""Normalization layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divides each vector [..., D] by its root mean square, then scales per channel.

    The mean and the division run in float32; the weight multiplies after the cast back, so that half-precision models
    round where the published models do.
    """

    def __init__(self, dim: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight


class LayerScale(nn.Module):
    """Scales a residual branch [..., D] per channel, initially by a small factor."""

    def __init__(self, dim: int, start: float = 1e-2):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
