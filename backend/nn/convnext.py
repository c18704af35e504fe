"""A causal ConvNeXt block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.nn.conv import CausalConv1d, ConvState


class CausalConvNeXt(nn.Module):
    """Depthwise convolution over time and a per-frame MLP with a residual connection: [B, C, T] to [B, C, T]."""

    def __init__(self, channels: int, kernel_size: int = 7, expansion: int = 4, start: float = 1e-6):
        super().__init__()
        self.depthwise = CausalConv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), start))

    def init_state(self, batch: int) -> ConvState:
        return self.depthwise.init_state(batch)

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        h = self.norm(self.depthwise(x, state).transpose(1, 2))
        h = self.gamma * self.project(F.gelu(self.expand(h)))
        return x + h.transpose(1, 2)
