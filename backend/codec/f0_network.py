"""Fundamental frequency and voicing from a codec's latents, for a decoder with a harmonic source."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backend.nn.cached_weights import DerivedInEval
from backend.nn.conv import ConvState
from backend.nn.frame_mixer import FrameMixer
from backend.nn.packed_linear import PackedLinear
from backend.nn.pulse_train import phase_dtype

N_BINS = 96
LOWEST_HZ, HIGHEST_HZ = 55.0, 520.0
# F0 is the mean of log F0 over the likeliest bin and this many on either side.
N_NEIGHBORS = 4
WIDTH = 128


class F0Frames(NamedTuple):
    """What the network says of each spectral frame, all [B, T] but `logits`."""

    log2_f0: Tensor  # of F0 in Hz at the frame's center, also where the frame is unvoiced
    voicing: Tensor  # logit of the frame being voiced
    slope: Tensor  # of log2 F0, in octaves per frame
    logits: Tensor  # [B, T, N_BINS] over bins of log F0


class F0Network(DerivedInEval):
    """Latent windows [B, T, window] to `F0Frames` of T * stride spectral frames.

    In eval mode it runs in float64: phases integrate its F0 for as long as a stream lasts, and only so does a stream
    decoded in pieces keep the phases of one decoded whole.
    """

    def __init__(self, window: int, dims: Sequence[int], depth: int, stride: int):
        super().__init__()
        self.stride = stride
        self.project_in = PackedLinear(window, dims[0])
        self.slow_blocks = nn.ModuleList(FrameMixer(dims[0]) for _ in range(depth))
        self.split = PackedLinear(dims[0], stride * dims[1])
        self.narrow = PackedLinear(dims[1], WIDTH)
        self.blocks = nn.ModuleList(FrameMixer(WIDTH) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.out = PackedLinear(WIDTH, N_BINS + 2)

    def init_state(self, batch: int) -> list[ConvState]:
        states = [block.init_state(batch) for block in (*self.slow_blocks, *self.blocks)]
        dtype = phase_dtype(self.out.weight.device)
        return [ConvState(state.past.to(dtype)) for state in states]

    def derive(self) -> tuple[F0Network]:
        for layer in self.modules():
            if isinstance(layer, DerivedInEval):
                layer.forget_derived()
        # In a tuple, or it would become a part of this module and be saved with it.
        return (deepcopy(self).to(phase_dtype(self.out.weight.device)),)

    def forward(self, windows: Tensor, state: list[ConvState] | None = None) -> F0Frames:
        if self.training:
            return self._frames(windows, state)
        (precise,) = self.derived()
        return precise._frames(windows.to(precise.out.weight.dtype), state)

    def _frames(self, windows: Tensor, state: list[ConvState] | None) -> F0Frames:
        x = self.project_in(windows)
        for i, block in enumerate(self.slow_blocks):
            x = block(x, None if state is None else state[i])
        x = self.narrow(self.split(x).view(x.shape[0], x.shape[1] * self.stride, -1))
        for i, block in enumerate(self.blocks, start=len(self.slow_blocks)):
            x = block(x, None if state is None else state[i])
        out = self.out(self.norm(x))
        logits = out[..., :N_BINS]
        return F0Frames(mean_log2_f0(logits), out[..., N_BINS], out[..., N_BINS + 1], logits)


def bin_log2_hz(device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """log2 of the bins' frequencies, [N_BINS]."""
    lowest, highest = torch.tensor([LOWEST_HZ, HIGHEST_HZ], dtype=torch.float64).log2().tolist()
    return torch.linspace(lowest, highest, N_BINS, dtype=dtype, device=device)


def mean_log2_f0(logits: Tensor) -> Tensor:
    """The mean of log2 F0 over the best bin's neighborhood: [..., N_BINS] to [...]."""
    bins = torch.arange(N_BINS, device=logits.device)
    is_near = (bins - logits.argmax(dim=-1, keepdim=True)).abs() <= N_NEIGHBORS
    weights = logits.masked_fill(~is_near, float("-inf")).softmax(dim=-1)
    return (weights * bin_log2_hz(logits.device, logits.dtype)).sum(dim=-1)
