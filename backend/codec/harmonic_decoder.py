"""The decoder of `spectral` with a harmonic source.

Latents hold no phase, so a decoder that predicts phases makes them up: they repeat every hop, and speech buzzes.
This one predicts F0, integrates it to the phase of a pulse train, and takes the phases of that train's spectrum as the
reference for its own. It learns only how far each bin lies from the reference and how much of it is periodic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from backend.codec.f0_network import F0Network
from backend.codec.pitch_shift import shifted_magnitude
from backend.codec.spectral_layers import MAX_LOG_MAGNITUDE, DecoderState, SpectralDecoder
from backend.nn.conv import ConvState
from backend.nn.frame_noise import FrameNoise, NoiseState
from backend.nn.packed_linear import PackedLinear
from backend.nn.pulse_train import MIN_MAGNITUDE, PhaseAccumulator, PhaseState, PulseTrain

# What voicing can do to the mix: an unvoiced frame hides the source, a sure one adds a little to it.
LEAST_VOICING, MOST_VOICING = -5.0, 1.5
# Bias of the mix at 0 Hz and at the Nyquist frequency: low harmonics are periodic, high bands are mostly not.
LOW_MIX, HIGH_MIX = 2.0, -2.0
# Of pulses through a window of unit energy.
SOURCE_FLOOR = 1e-4
LN2 = log(2.0)


@dataclass(slots=True)
class HarmonicState(DecoderState):
    f0: list[ConvState]
    phase: PhaseState
    noise: NoiseState
    semitones: Tensor  # [B] float64: how far the pitch is moved
    is_shifted: bool = False


class Source(NamedTuple):
    """The pulse train of each spectral frame, [B, T, n_bins]."""

    direction: Tensor  # complex numbers of magnitude 1
    log_magnitude: Tensor


class FrameValues(NamedTuple):
    """What the network says of each spectral frame, [B, T, n_bins]."""

    magnitude: Tensor
    phase: Tensor  # of what is not periodic
    offset: Tensor  # of the periodic part's phase from the source's
    angle: Tensor  # 0 for nothing periodic, pi / 2 for all


class HarmonicSpectra(NamedTuple):
    """What the decoder makes of each spectral frame, [B, T, n_bins]."""

    spectra: Tensor  # complex
    harmonic: Tensor  # complex, magnitude 1: the source's phases with the predicted offsets


class HarmonicDecoder(SpectralDecoder):
    """Latents [B, T, latent_dim] to samples [B, T * stride * hop].

    With `noise_band_hz` (low, high) what is not periodic passes from predicted phases below `low` to white noise above
    `high`.
    """

    noise_share: Tensor

    def __init__(
        self, n_fft: int, hop_samples: int, dims: Sequence[int], depths: Sequence[int], stride: int, latent_dim: int,
        sample_rate: int, noise_band_hz: Sequence[float] | None = None,
    ):  # fmt: skip
        super().__init__(n_fft, hop_samples, dims, depths, stride, latent_dim)
        self.bin_hz = sample_rate / n_fft
        self.has_noise = noise_band_hz is not None
        self.noise = FrameNoise(n_fft, hop_samples)
        share = noise_share(noise_band_hz, self.n_bins, sample_rate)
        self.register_buffer("noise_share", share, persistent=False)
        self.f0_network = F0Network(3 * latent_dim, dims, depths[0], stride)
        self.phase = PhaseAccumulator(hop_samples / sample_rate)
        self.pulses = PulseTrain(n_fft, sample_rate)
        self.source_in = PackedLinear(self.n_bins, dims[1])
        self.offset_mix = PackedLinear(dims[1], 2 * self.n_bins)
        with torch.no_grad():
            self.source_in.weight.zero_()
            self.source_in.bias.zero_()
            self.offset_mix.weight.mul_(0.1)
            self.offset_mix.bias.zero_()
            self.offset_mix.bias[self.n_bins :] = torch.linspace(LOW_MIX, HIGH_MIX, self.n_bins)

    def init_state(self, batch: int) -> HarmonicState:
        plain = super().init_state(batch)
        phase = self.phase.init_state(batch, self.norm.weight.device)
        f0, noise = self.f0_network.init_state(batch), self.noise.init_state(batch)
        return HarmonicState(plain.blocks, plain.latent, plain.frames, f0, phase, noise, torch.zeros_like(phase.f0_hz))

    def forward(self, latent: Tensor, state: HarmonicState | None = None) -> Tensor:  # type: ignore[override]
        windows = self.latent_windows(latent, state)
        f0 = self.f0_network(windows, None if state is None else state.f0)
        f0_hz = f0.log2_f0.exp2()
        is_shifted = state is not None and state.is_shifted
        heard_hz = f0_hz * (state.semitones[:, None] / 12).exp2() if state is not None and is_shifted else f0_hz
        turns = self.phase(heard_hz, None if state is None else state.phase)
        source = self.source(turns, heard_hz, f0.slope)
        # The network knows sources at the pitch of the codes only.
        seen = self.source(turns, f0_hz, f0.slope) if is_shifted else source
        x = self.slow_frames(windows, state)
        noise = self.noise(x, None if state is None else state.noise) if self.has_noise else None
        voicing = f0.voicing.to(x.dtype)
        values = self.frame_values(x, seen.log_magnitude, voicing, state)
        if is_shifted:
            values = self.shifted(values, f0_hz, source, heard_hz, voicing)
        spectra = self.mixed_spectra(values, source.direction, noise).spectra
        return self.istft(spectra, None if state is None else state.frames)

    def shifted(
        self, values: FrameValues, f0_hz: Tensor, source: Source, heard_hz: Tensor, voicing: Tensor
    ) -> FrameValues:
        """The magnitudes with the harmonics of `source`, as far as a frame is voiced."""
        moved, _ = shifted_magnitude(values.magnitude, f0_hz, source.log_magnitude.exp(), heard_hz, self.bin_hz)
        share = voicing.sigmoid()[..., None]
        magnitude = values.magnitude.clamp_min(MIN_MAGNITUDE).pow(1 - share) * moved.clamp_min(MIN_MAGNITUDE).pow(share)
        return values._replace(magnitude=magnitude)

    def training_noise(self, frames: Tensor) -> Tensor:
        """Other noise for every item and call, for `frames` [B, T]."""
        state = self.noise.init_state(frames.shape[0])
        state.seed.random_()
        return self.noise(frames, state)

    def source(self, turns: Tensor, f0_hz: Tensor, slope: Tensor) -> Source:
        """The source of frames with phases `turns`, `f0_hz` and `slope` in octaves per frame, all [B, T]."""
        spectra = self.pulses(turns, f0_hz, f0_hz * slope * (LN2 / self.phase.frame_s))
        magnitude = spectra.abs()
        direction = spectra / magnitude.clamp_min(MIN_MAGNITUDE)
        level = magnitude / self.pulses.window_energy**0.5
        return Source(direction, (level + SOURCE_FLOOR).log())

    def frame_values(
        self, x: Tensor, log_source: Tensor, voicing: Tensor, state: HarmonicState | None = None
    ) -> FrameValues:
        """What the network says of each bin, from first frame states [B, T, dim], the source and voicing logits [B, T]."""
        voicing = voicing[..., None]
        x = self.fast_frames(x + self.source_in(log_source * voicing.sigmoid()), state)
        log_magnitude, phase = self.project_out(x).float().split(self.n_bins, dim=2)
        offset, mix = self.offset_mix(x).float().split(self.n_bins, dim=2)
        angle = (mix + voicing.clamp(LEAST_VOICING, MOST_VOICING)).sigmoid() * (torch.pi / 2)
        if self.has_noise:
            angle = angle * voicing.sigmoid()
        return FrameValues(log_magnitude.clamp_max(MAX_LOG_MAGNITUDE).exp(), phase, offset, angle)

    def mixed_spectra(self, values: FrameValues, direction: Tensor, noise: Tensor | None) -> HarmonicSpectra:
        """The source's phases and the predicted ones or noise, each in its share."""
        harmonic = direction * torch.polar(torch.ones_like(values.offset), values.offset)
        if noise is None:
            rest = torch.polar(values.magnitude * values.angle.cos(), values.phase)
        else:
            made_up = torch.polar((1.0 - self.noise_share).expand_as(values.phase), values.phase)
            rest = (made_up + self.noise_share * noise) * (values.magnitude * values.angle.cos())
        return HarmonicSpectra(harmonic * (values.magnitude * values.angle.sin()) + rest, harmonic)


def noise_share(band_hz: Sequence[float] | None, n_bins: int, sample_rate: int) -> Tensor:
    """How much of each bin's made-up phase gives way to noise, [n_bins], 0...1."""
    if band_hz is None:
        return torch.zeros(n_bins)
    low, high = band_hz
    if not 0 <= low < high:
        raise ValueError(f"noise_band_hz is {low} to {high}; expected two rising frequencies")
    hz = torch.linspace(0, sample_rate / 2, n_bins)
    return ((hz - low) / (high - low)).clamp(0, 1)
