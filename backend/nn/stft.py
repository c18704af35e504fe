"""Causal STFT and inverse STFT with streaming state.

Frame t covers samples t * hop - (n_fft - hop) ... t * hop + hop - 1, so analysis followed by synthesis delays the audio
by n_fft - hop samples. Both divide by the steady-state envelope of the squared window everywhere: normalizing edges
would make the start of a stream differ from its middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(slots=True)
class FrameState:
    past: Tensor  # analysis: [B, n_fft - hop] samples; synthesis: [B, n_fft / hop - 1, n_fft] frames


class CausalSTFT(nn.Module):
    """STFT of the frames that end with each hop: samples [B, T * hop] to complex spectra [B, T, n_fft / 2 + 1]."""

    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        if n_fft % hop_samples:
            raise ValueError(f"n_fft {n_fft} is not a multiple of hop {hop_samples}")
        self.n_fft, self.hop_samples = n_fft, hop_samples
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def init_state(self, batch: int) -> FrameState:
        return FrameState(self.window.new_zeros(batch, self.n_fft - self.hop_samples))

    def forward(self, samples: Tensor, state: FrameState | None = None) -> Tensor:
        overlap = self.n_fft - self.hop_samples
        if state is None:
            samples = F.pad(samples, (overlap, 0))
        else:
            samples = torch.cat([state.past, samples], dim=1)
            state.past.copy_(samples[:, samples.shape[1] - overlap :])
        return torch.fft.rfft(samples.unfold(1, self.n_fft, self.hop_samples) * self.window)


class CausalISTFT(nn.Module):
    """Overlap-add of complex spectra [B, T, n_fft / 2 + 1] to samples [B, T * hop].

    The inverse of `CausalSTFT` up to a delay of n_fft - hop samples.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        if n_fft % hop_samples:
            raise ValueError(f"n_fft {n_fft} is not a multiple of hop {hop_samples}")
        self.n_fft, self.hop_samples = n_fft, hop_samples
        self.n_overlaps = n_fft // hop_samples
        window = torch.hann_window(n_fft)
        envelope = window.square().view(self.n_overlaps, hop_samples).sum(dim=0)
        self.register_buffer("window", window / envelope.repeat(self.n_overlaps), persistent=False)

    def init_state(self, batch: int) -> FrameState:
        return FrameState(self.window.new_zeros(batch, self.n_overlaps - 1, self.n_fft))

    def forward(self, spectra: Tensor, state: FrameState | None = None) -> Tensor:
        frames = torch.fft.irfft(spectra, n=self.n_fft) * self.window
        n_frames = frames.shape[1]
        if state is None:
            frames = F.pad(frames, (0, 0, self.n_overlaps - 1, 0))
        else:
            frames = torch.cat([state.past, frames], dim=1)
            state.past.copy_(frames[:, n_frames:])
        segments = frames.view(frames.shape[0], -1, self.n_overlaps, self.hop_samples)
        last = self.n_overlaps - 1
        # Segment j of frame t belongs to hop t + j: add along the anti-diagonals.
        samples = segments[:, last : last + n_frames, 0]
        for j in range(1, self.n_overlaps):
            samples = samples + segments[:, last - j : last - j + n_frames, j]
        return samples.reshape(samples.shape[0], -1)
