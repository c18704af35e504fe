"""The layers of `spectral`: short-time spectra to latents, and latents back to spectra and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.nn.conv import ConvState
from backend.nn.frame_mixer import FrameMixer
from backend.nn.packed_linear import PackedLinear
from backend.nn.stft import CausalISTFT, CausalSTFT, FrameState

# About 100 dB below full scale: levels below 16-bit rounding noise should not change the codes.
POWER_FLOOR = 1e-6
MAX_LOG_MAGNITUDE = 7.0


@dataclass(slots=True)
class EncoderState:
    frames: FrameState
    blocks: list[ConvState]


@dataclass(slots=True)
class DecoderState:
    blocks: list[ConvState]
    latent: ConvState
    frames: FrameState


class SpectralEncoder(nn.Module):
    """Encodes samples [B, T * stride * hop] as latents [B, T, latent_dim] of unit mean square.

    Its input is log power alone. With compressed complex spectra instead it learned half as fast, and with both no
    faster (docs/log.md): at these bitrates there are no bits for phase.
    """

    def __init__(self, n_fft: int, hop_samples: int, dims: Sequence[int], depths: Sequence[int], stride: int,
                 latent_dim: int):  # fmt: skip
        super().__init__()
        self.stride = stride
        n_bins = n_fft // 2 + 1
        self.stft = CausalSTFT(n_fft, hop_samples)
        self.project_in = PackedLinear(n_bins, dims[0])
        self.fast_blocks = nn.ModuleList(FrameMixer(dims[0]) for _ in range(depths[0]))
        self.merge = PackedLinear(stride * dims[0], dims[1])
        self.slow_blocks = nn.ModuleList(FrameMixer(dims[1]) for _ in range(depths[1]))
        self.norm = nn.LayerNorm(dims[1])
        self.project_out = PackedLinear(dims[1], latent_dim)

    def init_state(self, batch: int) -> EncoderState:
        blocks = [block.init_state(batch) for block in (*self.fast_blocks, *self.slow_blocks)]
        return EncoderState(self.stft.init_state(batch), blocks)

    def forward(self, samples: Tensor, state: EncoderState | None = None) -> Tensor:
        spectra = self.stft(samples, None if state is None else state.frames)
        power = torch.view_as_real(spectra).square().sum(dim=3)
        x = self.project_in((power + POWER_FLOOR).log())
        for i, block in enumerate(self.fast_blocks):
            x = block(x, None if state is None else state.blocks[i])
        x = self.merge(x.reshape(x.shape[0], -1, self.merge.in_features))
        for i, block in enumerate(self.slow_blocks, start=len(self.fast_blocks)):
            x = block(x, None if state is None else state.blocks[i])
        latent = self.project_out(self.norm(x))
        return F.rms_norm(latent, latent.shape[2:])


class SpectralDecoder(nn.Module):
    """Decodes latents [B, T, latent_dim] to samples [B, T * stride * hop]."""

    def __init__(self, n_fft: int, hop_samples: int, dims: Sequence[int], depths: Sequence[int], stride: int,
                 latent_dim: int):  # fmt: skip
        super().__init__()
        self.n_bins, self.stride, self.latent_dim = n_fft // 2 + 1, stride, latent_dim
        self.project_in = PackedLinear(3 * latent_dim, dims[0])
        self.slow_blocks = nn.ModuleList(FrameMixer(dims[0]) for _ in range(depths[0]))
        self.split = PackedLinear(dims[0], stride * dims[1])
        self.fast_blocks = nn.ModuleList(FrameMixer(dims[1]) for _ in range(depths[1]))
        self.norm = nn.LayerNorm(dims[1])
        self.project_out = PackedLinear(dims[1], 2 * self.n_bins)
        self.istft = CausalISTFT(n_fft, hop_samples)

    def init_state(self, batch: int) -> DecoderState:
        blocks = [block.init_state(batch) for block in (*self.slow_blocks, *self.fast_blocks)]
        latent = ConvState(self.project_in.weight.new_zeros(batch, 2, self.latent_dim))
        return DecoderState(blocks, latent, self.istft.init_state(batch))

    def forward(self, latent: Tensor, state: DecoderState | None = None) -> Tensor:
        x = self.slow_frames(self.latent_windows(latent, state), state)
        log_magnitude, phase = self.project_out(self.fast_frames(x, state)).split(self.n_bins, dim=2)
        spectra = torch.polar(log_magnitude.clamp_max(MAX_LOG_MAGNITUDE).exp(), phase)
        return self.istft(spectra, None if state is None else state.frames)

    def latent_windows(self, latent: Tensor, state: DecoderState | None) -> Tensor:
        """Each latent with the two before it, [B, T, 3 * latent_dim]."""
        if state is None:
            padded = F.pad(latent, (0, 0, 2, 0))
        else:
            padded = torch.cat([state.latent.past, latent], dim=1)
            state.latent.past.copy_(padded[:, latent.shape[1] :])
        return padded.unfold(1, 3, 1).flatten(2)

    def slow_frames(self, windows: Tensor, state: DecoderState | None) -> Tensor:
        """Latent windows [B, T, 3 * latent_dim] to the first states of T * stride spectral frames."""
        x = self.project_in(windows)
        for i, block in enumerate(self.slow_blocks):
            x = block(x, None if state is None else state.blocks[i])
        return self.split(x).view(x.shape[0], x.shape[1] * self.stride, -1)

    def fast_frames(self, x: Tensor, state: DecoderState | None) -> Tensor:
        """First states of spectral frames to their last, normalized ones."""
        for i, block in enumerate(self.fast_blocks, start=len(self.slow_blocks)):
            x = block(x, None if state is None else state.blocks[i])
        return self.norm(x)
