"""A causal ConvNeXt-style residual block for spectral frames: mixes time, then channels.

Works on [B, T, C], so that channel products are plain matrix products, with few operations per call: the cost of a
streaming call is the number of operations, not their arithmetic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.nn.conv import ConvState
from backend.nn.packed_linear import PackedLinear

# Up to this many frames, a sum over shifted views is faster than a depthwise convolution call.
SHORT_FRAMES = 16


class FrameMixer(nn.Module):
    """x + W2 gelu(W1 norm(depthwise(x))), with [B, T, C] in and out."""

    def __init__(self, dim: int, kernel_size: int = 7, expansion: int = 3, residual_scale: float = 0.3):
        super().__init__()
        self.context = kernel_size - 1
        self.depthwise = nn.Parameter(torch.empty(dim, kernel_size))
        self.norm = nn.LayerNorm(dim)
        self.expand = PackedLinear(dim, expansion * dim, activation="gelu")
        self.contract = PackedLinear(expansion * dim, dim)
        nn.init.uniform_(self.depthwise, -(kernel_size**-0.5), kernel_size**-0.5)
        with torch.no_grad():
            self.contract.weight.mul_(residual_scale)
            self.contract.bias.zero_()

    def init_state(self, batch: int) -> ConvState:
        return ConvState(self.depthwise.new_zeros(batch, self.context, self.depthwise.shape[0]))

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        if state is None:
            padded = F.pad(x, (0, 0, self.context, 0))
        else:
            padded = torch.cat([state.past, x], dim=1)
            state.past.copy_(padded[:, x.shape[1] :])
        if x.shape[1] <= SHORT_FRAMES:
            mixed = (padded.unfold(1, self.context + 1, 1) * self.depthwise).sum(dim=3)
        else:
            weight = self.depthwise.unsqueeze(1)
            mixed = F.conv1d(padded.transpose(1, 2), weight, groups=weight.shape[0]).transpose(1, 2)
        return x + self.contract(self.expand(self.norm(mixed)))
