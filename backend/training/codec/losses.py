"""Reconstruction losses: log-mel, loudness and complex spectra over several window sizes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from backend.metrics.reconstruction import mel_filters

# Magnitudes are compressed to |X|^0.3 for the loudness and complex losses, like perceived loudness.
COMPRESSION = 0.3


class SpectralDistance(NamedTuple):
    """Scalar distances, each a mean over its windows."""

    mel: Tensor  # of log-mel magnitudes: weighs quiet and loud parts equally
    loudness: Tensor  # of compressed mel magnitudes: weighs loud parts more
    complex: Tensor  # of compressed complex spectra
    spectrum: Tensor  # of log magnitudes per bin; mel bands would hide the gaps between harmonics
    compressed: Tensor  # of compressed magnitudes per bin
    multiscale: Tensor  # SoundStream, equation 5: L1 of mel magnitudes, and L2 of their logarithms by sqrt(window / 2)


class SpectralLoss(nn.Module):
    """Mean absolute differences of log-mel magnitudes, of loudness, and of compressed complex spectra.

    Each window's transform is computed once for all losses. Spectra are scaled so that noise of variance 1 has
    magnitudes near 1 for every window; differences fade out below `floor`, which is added rather than clamped to, since
    a clamp has no gradient for missing signal.
    """

    def __init__(
        self, rate_hz: int, mel_windows: tuple[int, ...], mel_bins: tuple[int, ...],
        complex_windows: tuple[int, ...] = (), floor: float = 3e-4, bin_windows: tuple[int, ...] = (),
    ):  # fmt: skip
        super().__init__()
        if len(mel_windows) != len(mel_bins):
            raise ValueError(f"{len(mel_windows)} mel windows but {len(mel_bins)} bin counts")
        self.windows = tuple(sorted({*mel_windows, *complex_windows, *bin_windows}))
        self.bin_windows = bin_windows
        self.mel_windows, self.complex_windows, self.floor = mel_windows, complex_windows, floor
        for window in self.windows:
            shape = torch.hann_window(window)
            self.register_buffer(f"window_{window}", shape / shape.square().sum().sqrt(), persistent=False)
        for window, n_bins in zip(mel_windows, mel_bins, strict=True):
            filters = torch.from_numpy(mel_filters(rate_hz, window, n_bins)).float()
            self.register_buffer(f"filters_{window}", filters, persistent=False)

    def forward(self, audio: Tensor, target: Tensor, windows: tuple[int, ...] | None = None) -> SpectralDistance:
        """Returns the distances between `audio` [B, C, N] and `target` of the same shape, for all or some `windows`."""
        audio, target = audio.flatten(0, 1).float(), target.flatten(0, 1).float()
        mel, loudness, complex_, spectrum, compressed, multiscale = audio.new_zeros(6).unbind()
        used = self.windows if windows is None else windows
        for window in used:
            with torch.no_grad():
                expected = self._spectra(target, window)
            spectra = self._spectra(audio, window)
            power, expected_power = _power(spectra), _power(expected)
            if window in self.mel_windows:
                filters = self.get_buffer(f"filters_{window}")
                bands, expected_bands = self._bands(power, filters), self._bands(expected_power, filters)
                log_difference = bands.log() - expected_bands.log()
                mel = mel + log_difference.abs().mean()
                # Both terms are means over bands, so the number of bands does not weigh a window.
                log_distance = (log_difference.square().mean(dim=2) + 1e-12).sqrt().mean()
                multiscale = multiscale + (bands - expected_bands).abs().mean() + (window / 2) ** 0.5 * log_distance
                loudness = loudness + (bands.pow(COMPRESSION) - expected_bands.pow(COMPRESSION)).abs().mean()
            if window in self.bin_windows:
                bins, expected_bins = _magnitude(power) + self.floor, _magnitude(expected_power) + self.floor
                spectrum = spectrum + (bins.log() - expected_bins.log()).abs().mean()
                compressed = compressed + (bins.pow(COMPRESSION) - expected_bins.pow(COMPRESSION)).abs().mean()
            if window in self.complex_windows:
                gain = (power + self.floor**2).pow((COMPRESSION - 1) / 2)
                expected_gain = (expected_power + self.floor**2).pow((COMPRESSION - 1) / 2)
                difference = torch.view_as_real(spectra) * gain[..., None]
                difference = difference - torch.view_as_real(expected) * expected_gain[..., None]
                complex_ = complex_ + difference.abs().mean()
        n_mel = max(sum(window in self.mel_windows for window in used), 1)
        n_complex = max(sum(window in self.complex_windows for window in used), 1)
        n_bins = max(sum(window in self.bin_windows for window in used), 1)
        return SpectralDistance(
            mel / n_mel,
            loudness / n_mel,
            complex_ / n_complex,
            spectrum / n_bins,
            compressed / n_bins,
            multiscale / n_mel,
        )

    def _spectra(self, samples: Tensor, window: int) -> Tensor:
        """Transforms [B, N] to complex [B, T, F]."""
        frames = samples.unfold(1, window, window // 4)
        return torch.fft.rfft(frames * self.get_buffer(f"window_{window}"))

    def _bands(self, power: Tensor, filters: Tensor) -> Tensor:
        return _magnitude(power) @ filters + self.floor


def _power(spectra: Tensor) -> Tensor:
    parts = torch.view_as_real(spectra)
    return parts.square().sum(dim=-1)


def _magnitude(power: Tensor) -> Tensor:
    return (power + 1e-12).sqrt()
