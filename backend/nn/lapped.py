"""Short-time spectra with little overlap: frames that meet in short crossfades.

Neighboring frames share only n_fft - hop samples, so magnitudes with any phases come out almost as they were put in;
with the usual half or three quarters of overlap, frames of unrelated phases interfere everywhere (docs/codecs.md).
Frame t covers samples t * hop - (n_fft - hop) ... t * hop + hop - 1; analysis and synthesis together delay the sound
by n_fft - hop samples. Both use the same window, whose squares add up to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(slots=True)
class LapState:
    past: Tensor  # [B, n_fft - hop] samples: of the input for analysis, still to be added for synthesis


def crossfade_window(n_fft: int, hop_samples: int) -> Tensor:
    """Flat in the middle, with sine flanks over the n_fft - hop samples that neighbors share."""
    overlap = n_fft - hop_samples
    if not 0 < overlap <= hop_samples:
        raise ValueError(f"n_fft {n_fft} shares {overlap} samples with its neighbor; expected 1 to hop {hop_samples}")
    flank = torch.sin(torch.pi / 2 * (torch.arange(overlap) + 0.5) / overlap)
    return torch.cat([flank, torch.ones(n_fft - 2 * overlap), flank.flip(0)])


class LappedAnalysis(nn.Module):
    """Samples [B, T * hop] to complex spectra [B, T, n_fft / 2 + 1], scaled so that noise of variance 1 has power 1."""

    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        self.n_fft, self.hop_samples = n_fft, hop_samples
        window = crossfade_window(n_fft, hop_samples)
        self.register_buffer("window", window / hop_samples**0.5, persistent=False)

    def init_state(self, batch: int) -> LapState:
        return LapState(self.window.new_zeros(batch, self.n_fft - self.hop_samples))

    def forward(self, samples: Tensor, state: LapState | None = None) -> Tensor:
        overlap = self.n_fft - self.hop_samples
        if state is None:
            samples = F.pad(samples, (overlap, 0))
        else:
            samples = torch.cat([state.past, samples], dim=1)
            state.past.copy_(samples[:, samples.shape[1] - overlap :])
        return torch.fft.rfft(samples.unfold(1, self.n_fft, self.hop_samples) * self.window)


class LappedSynthesis(nn.Module):
    """Complex spectra [B, T, n_fft / 2 + 1] to samples [B, T * hop]: the inverse of `LappedAnalysis`, delayed."""

    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        self.n_fft, self.hop_samples = n_fft, hop_samples
        window = crossfade_window(n_fft, hop_samples)
        self.register_buffer("window", window * hop_samples**0.5, persistent=False)

    def init_state(self, batch: int) -> LapState:
        return LapState(self.window.new_zeros(batch, self.n_fft - self.hop_samples))

    def forward(self, spectra: Tensor, state: LapState | None = None) -> Tensor:
        frames = torch.fft.irfft(spectra, n=self.n_fft) * self.window
        heads, tails = frames.split([self.hop_samples, self.n_fft - self.hop_samples], dim=2)
        first = torch.zeros_like(tails[:, 0]) if state is None else state.past.clone()
        if state is not None:
            state.past.copy_(tails[:, -1])
        tails = torch.cat([first[:, None], tails[:, :-1]], dim=1)
        return (heads + F.pad(tails, (0, self.hop_samples - tails.shape[2]))).flatten(1)
