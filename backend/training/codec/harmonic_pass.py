"""A codec's round trip as its harmonic decoder is trained: frozen codes in, sound and what is judged beside it out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from backend.codec.f0_network import F0Frames
from backend.codec.harmonic_decoder import HarmonicDecoder
from backend.codec.spectral import SpectralCodec
from backend.training.codec.anchor import anchored_turns
from backend.training.codec.config import HarmonicBlock


class HarmonicOutput(NamedTuple):
    audio: Tensor  # [B, 1, N], lagging the input by the codec's latency
    harmonic: Tensor  # complex [B, T, n_bins]: the source's phases with the predicted offsets
    spectra: Tensor  # complex [B, T, n_bins], of the input
    f0: F0Frames
    latent: Tensor
    indices: Tensor


class HarmonicPass(nn.Module):
    """Audio [B, 1, N] with its F0 [B, T] to a `HarmonicOutput`."""

    def __init__(self, codec: SpectralCodec, block: HarmonicBlock):
        super().__init__()
        self.codec, self.block = codec, block

    def forward(self, audio: Tensor, counts: Tensor, true_f0_hz: Tensor, uses_true_f0: Tensor) -> HarmonicOutput:
        """`uses_true_f0` [B]: whether the source follows the recording's F0 where that is voiced."""
        codec, decoder = self.codec, self.codec.decoder
        assert isinstance(decoder, HarmonicDecoder), type(decoder)
        with torch.no_grad():
            latent = codec.encoder(audio[:, 0])
            quantized, indices, _, _ = codec.quantizer(latent.transpose(1, 2), counts)
            spectra = codec.encoder.stft(audio[:, 0])
        windows = decoder.latent_windows(quantized.transpose(1, 2), None)
        f0 = decoder.f0_network(windows)
        with torch.no_grad():
            is_true = uses_true_f0[:, None] & (true_f0_hz > 0)
            f0_hz = torch.where(is_true, true_f0_hz, f0.log2_f0.exp2())
            slope = torch.where(is_true, true_slope(true_f0_hz)[0], f0.slope)
            turns = decoder.phase(f0_hz)
            source = decoder.source(turns.float(), f0_hz, slope)
        values = decoder.frame_values(decoder.slow_frames(windows, None), source.log_magnitude, f0.voicing.detach())
        with torch.no_grad():
            if self.block.anchor_hz:
                rate = codec.spec.sample_rate_hz
                wanted = spectra * torch.polar(torch.ones_like(values.offset), -values.offset)
                turns = anchored_turns(turns, f0_hz, wanted, rate, self.block.anchor_hz, self.block.anchor_frames)
                source = decoder.source(turns.float(), f0_hz, slope)
            noise = decoder.training_noise(turns) if decoder.has_noise else None
        mixed = decoder.mixed_spectra(values, source.direction, noise)
        sound = decoder.istft(mixed.spectra).unsqueeze(1)
        return HarmonicOutput(sound, mixed.harmonic, spectra, f0, latent.transpose(1, 2), indices)


def true_slope(f0_hz: Tensor) -> tuple[Tensor, Tensor]:
    """The slope of log2 F0 [B, T] in octaves per frame, and where it is known: both neighbors voiced."""
    log2 = f0_hz.clamp_min(1.0).log2()
    is_voiced = f0_hz > 0
    slope, is_known = torch.zeros_like(log2), torch.zeros_like(is_voiced)
    slope[:, 1:-1] = 0.5 * (log2[:, 2:] - log2[:, :-2])
    is_known[:, 1:-1] = is_voiced[:, 2:] & is_voiced[:, :-2] & is_voiced[:, 1:-1]
    # A jump is a new voice segment or an error of the estimate, not a slope.
    is_known &= slope.abs() < 0.1
    return slope * is_known, is_known
