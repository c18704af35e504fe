"""Sound as band energies per frame, and back: log energies of bands in, magnitudes with noise phases out.

This is what the networks of `soundstream` (with `bands`) and `hierarchical` stand between. Already without any
learning, band energies kept and phases drawn at random come nearer to the log-mel spectrum of natural sounds than
Opus at 12 kbps (docs/codecs.md); the networks correct the magnitudes and add a coherent part to the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.nn.lapped import LappedAnalysis, LappedSynthesis, LapState

# 80 dB below full scale: what is quieter should not move the codes.
POWER_FLOOR = 1e-8
# Logarithms of energies are divided by this, so that the layers see numbers near 1.
LOG_SCALE = 4.0
N_NOISE_FRAMES = 256
MAX_LOG_MAGNITUDE = 7.0


@dataclass(slots=True)
class SynthesisState:
    lap: LapState
    n_frames: Tensor  # [B], int64: which row of the noise table comes next


def band_of_bin(n_fft: int, n_single: int, n_bands: int) -> Tensor:
    """The band each of the n_fft / 2 + 1 bins belongs to: `n_single` bands of one bin, then ever wider ones.

    Raises `ValueError` where the bins do not suffice for so many bands.
    """
    n_bins = n_fft // 2 + 1
    if not 1 <= n_single < n_bands <= n_bins:
        raise ValueError(f"{n_bands} bands, {n_single} of one bin, do not fit {n_bins} bins")
    edges = [*range(n_single)]
    ratio = (n_bins / n_single) ** (1 / (n_bands - n_single))
    position = float(n_single)
    for left in range(n_bands - n_single, 0, -1):
        edges.append(min(max(round(position), edges[-1] + 1), n_bins - left))
        position *= ratio
    starts = torch.zeros(n_bins, dtype=torch.long)
    starts[torch.tensor(edges)] = 1
    return starts.cumsum(0) - 1


class BandAnalysis(nn.Module):
    """Samples [B, 1, T * hop] to scaled log band energies [B, F, T]."""

    membership: Tensor

    def __init__(self, n_fft: int, hop_samples: int, n_single: int, n_bands: int):
        super().__init__()
        self.transform = LappedAnalysis(n_fft, hop_samples)
        membership = torch.nn.functional.one_hot(band_of_bin(n_fft, n_single, n_bands), n_bands).float()
        self.register_buffer("membership", membership / membership.sum(dim=0), persistent=False)

    def init_state(self, batch: int) -> LapState:
        return self.transform.init_state(batch)

    def forward(self, audio: Tensor, state: LapState | None = None) -> Tensor:
        power = torch.view_as_real(self.transform(audio[:, 0], state)).square().sum(dim=3)
        return ((power @ self.membership + POWER_FLOOR).log() / LOG_SCALE).transpose(1, 2)


class BandSynthesis(nn.Module):
    """Features [B, F + 2 * n_bins, T] to samples [B, 1, T * hop].

    The first F are scaled log band energies; the others the real and imaginary part each bin's unit noise phasor is
    moved by, so zeros give noise of the band energies asked for. The noise is a fixed table: equal codes give equal
    sound.
    """

    band: Tensor
    noise: Tensor  # [N_NOISE_FRAMES, n_bins, 2]

    def __init__(self, n_fft: int, hop_samples: int, n_single: int, n_bands: int):
        super().__init__()
        self.n_bands, self.n_bins = n_bands, n_fft // 2 + 1
        self.n_features = n_bands + 2 * self.n_bins
        self.transform = LappedSynthesis(n_fft, hop_samples)
        self.register_buffer("band", band_of_bin(n_fft, n_single, n_bands), persistent=False)
        generator = torch.Generator().manual_seed(0)
        angles = 2 * torch.pi * torch.rand(N_NOISE_FRAMES, self.n_bins, generator=generator)
        self.register_buffer("noise", torch.stack([angles.cos(), angles.sin()], dim=2), persistent=False)

    def init_state(self, batch: int) -> SynthesisState:
        return SynthesisState(self.transform.init_state(batch), torch.zeros_like(self.band[:1]).repeat(batch))

    def forward(self, features: Tensor, state: SynthesisState | None = None) -> Tensor:
        n_frames = features.shape[2]
        features = features.transpose(1, 2)
        energies, shift = features.split([self.n_bands, 2 * self.n_bins], dim=2)
        magnitude = (energies * (LOG_SCALE / 2)).clamp_max(MAX_LOG_MAGNITUDE).exp()[:, :, self.band]
        order = torch.arange(n_frames, device=features.device)
        if state is None:
            # In training any row may come first, or the networks would learn the noise of the first second by heart.
            first = torch.randint(N_NOISE_FRAMES, (features.shape[0], 1)).to(order) if self.training else 0
            noise = self.noise[(first + order.expand(features.shape[0], -1)) % N_NOISE_FRAMES]
        else:
            noise = self.noise[(state.n_frames[:, None] + order) % N_NOISE_FRAMES]
            state.n_frames += n_frames
        phasor = noise + shift.view(*shift.shape[:2], 2, self.n_bins).transpose(2, 3)
        spectra = torch.view_as_complex((phasor * magnitude[..., None]).contiguous())
        return self.transform(spectra, None if state is None else state.lap).unsqueeze(1)


def principal_components(rows: Tensor, n_components: int) -> tuple[Tensor, Tensor]:
    """The mean [F] of rows [R, F] and the `n_components` directions [F, n] of largest variance, largest first."""
    mean = rows.mean(dim=0)
    _, vectors = torch.linalg.eigh((rows - mean).double().T.cov())
    return mean, vectors.flip(1)[:, :n_components].to(rows.dtype)
