"""Short-time spectra of white noise, equal for a seed and a place in the stream in whatever pieces they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.nn.counter_noise import white_noise


@dataclass(slots=True)
class NoiseState:
    seed: Tensor  # [B] int64
    sample: Tensor  # [B] int64: the first sample of the next frame


class FrameNoise(nn.Module):
    """Spectra [B, T, n_fft / 2 + 1] of hann frames of one white noise, of mean square magnitude 1 a bin."""

    window: Tensor

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        self.n_fft, self.hop_samples = n_fft, hop_samples
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)

    def init_state(self, batch: int) -> NoiseState:
        zeros = torch.zeros(batch, dtype=torch.long, device=self.window.device)
        return NoiseState(zeros, zeros.clone())

    def forward(self, frames: Tensor, state: NoiseState | None = None) -> Tensor:
        """The noise for `frames` [B, T, ...], whose values do not matter; without a state, that of seed 0."""
        batch, n_frames = frames.shape[:2]
        place = self.init_state(batch) if state is None else state
        samples = white_noise(place.seed, place.sample, self.n_fft + (n_frames - 1) * self.hop_samples)
        if state is not None:
            state.sample += n_frames * self.hop_samples
        return torch.fft.rfft(samples.unfold(1, self.n_fft, self.hop_samples) * self.window)
