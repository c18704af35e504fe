"""How far a reconstruction is from its target: log-mel, loudness and complex spectra, over several windows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from backend.metrics.reconstruction import mel_filters

# Magnitudes are compressed to |X|^0.3 for the loudness and complex losses, as loudness is heard.
COMPRESSION = 0.3


class SpectralDistance(NamedTuple):
    """Scalars, each a mean over the windows it was asked for."""

    mel: Tensor  # of log-mel magnitudes: quiet and loud places count alike
    loudness: Tensor  # of compressed mel magnitudes: what is loud counts more
    complex: Tensor  # of compressed complex spectra
    spectrum: Tensor  # of log magnitudes bin by bin, where mel bands would hide the space between harmonics
    compressed: Tensor  # of compressed magnitudes bin by bin


class SpectralLoss(nn.Module):
    """Mean absolute differences of log-mel magnitudes, of their loudness and of compressed complex spectra.

    Each window's transform is computed once and serves both. Spectra are scaled so that noise of
    variance 1 has bins of magnitude about 1 for every window; `floor` is the magnitude under which
    differences fade out. It is added, not clamped to: a clamp has no gradient where sound is missing.
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

    def forward(self, audio: Tensor, target: Tensor) -> SpectralDistance:
        """The distances of `audio` [B, C, N] from `target` of the same shape."""
        audio, target = audio.flatten(0, 1).float(), target.flatten(0, 1).float()
        mel, loudness, complex_, spectrum, compressed = audio.new_zeros(5).unbind()
        for window in self.windows:
            with torch.no_grad():
                wanted = self._spectra(target, window)
            spectra = self._spectra(audio, window)
            power, wanted_power = _power(spectra), _power(wanted)
            if window in self.mel_windows:
                filters = self.get_buffer(f"filters_{window}")
                bands, wanted_bands = self._bands(power, filters), self._bands(wanted_power, filters)
                mel = mel + (bands.log() - wanted_bands.log()).abs().mean()
                loudness = loudness + (bands.pow(COMPRESSION) - wanted_bands.pow(COMPRESSION)).abs().mean()
            if window in self.bin_windows:
                bins, wanted_bins = _magnitude(power) + self.floor, _magnitude(wanted_power) + self.floor
                spectrum = spectrum + (bins.log() - wanted_bins.log()).abs().mean()
                compressed = compressed + (bins.pow(COMPRESSION) - wanted_bins.pow(COMPRESSION)).abs().mean()
            if window in self.complex_windows:
                gain = (power + self.floor**2).pow((COMPRESSION - 1) / 2)
                wanted_gain = (wanted_power + self.floor**2).pow((COMPRESSION - 1) / 2)
                difference = torch.view_as_real(spectra) * gain[..., None]
                difference = difference - torch.view_as_real(wanted) * wanted_gain[..., None]
                complex_ = complex_ + difference.abs().mean()
        n_mel, n_complex = max(len(self.mel_windows), 1), max(len(self.complex_windows), 1)
        n_bins = max(len(self.bin_windows), 1)
        return SpectralDistance(
            mel / n_mel, loudness / n_mel, complex_ / n_complex, spectrum / n_bins, compressed / n_bins
        )

    def _spectra(self, samples: Tensor, window: int) -> Tensor:
        """[B, N] to complex [B, T, F]."""
        frames = samples.unfold(1, window, window // 4)
        return torch.fft.rfft(frames * self.get_buffer(f"window_{window}"))

    def _bands(self, power: Tensor, filters: Tensor) -> Tensor:
        return _magnitude(power) @ filters + self.floor


def _power(spectra: Tensor) -> Tensor:
    parts = torch.view_as_real(spectra)
    return parts.square().sum(dim=-1)


def _magnitude(power: Tensor) -> Tensor:
    return (power + 1e-12).sqrt()
