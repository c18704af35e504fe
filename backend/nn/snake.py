"""Snake, a periodic activation for waveforms."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snake(nn.Module):
    """x + sin(a x)^2 / (a + 1e-9) with one learned frequency `alpha` [1, C, 1] per channel. Input [B, C, T]."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        inverse = 1.0 / (self.alpha + 1e-9)
        if torch.is_grad_enabled():
            return x + (self.alpha * x).sin().square() * inverse
        wave = (self.alpha * x).sin_()
        return torch.addcmul(x, wave.square_(), inverse)
