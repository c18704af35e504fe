"""Losses for what listeners follow in music: harmony in long windows, and the moments at which notes begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHROMA_WINDOW = 8192
CHROMA_RANGE_HZ = (55.0, 4000.0)
ONSET_WINDOW = 1024
FLOOR = 1e-5
# Magnitudes are compressed to log(1 + GAIN |X|), so that onsets of quiet notes count too.
GAIN = 30.0


class ChromaLoss(nn.Module):
    """Mean absolute difference of the shares the twelve pitch classes have in each frame's energy.

    Frames have 8,192 samples, or as many as the audio has where that is less; energy between 55 Hz and 4 kHz counts.
    """

    def __init__(self, rate_hz: int):
        super().__init__()
        self.rate_hz = rate_hz

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """The distance of `audio` [B, C, N] from `target` of the same shape."""
        window = min(CHROMA_WINDOW, audio.shape[2])
        classes = self._pitch_classes(window, audio.device)
        shares = [self._shares(samples.flatten(0, 1).float(), window, classes) for samples in (audio, target)]
        return (shares[0] - shares[1].detach()).abs().sum(dim=2).mean()

    def _pitch_classes(self, window: int, device: torch.device) -> Tensor:
        """Which pitch class each bin belongs to, [window / 2 + 1, 12]; none outside the range."""
        bins_hz = torch.arange(1, window // 2 + 1, device=device) * (self.rate_hz / window)
        number = (12 * torch.log2(bins_hz / 440.0)).round().long() % 12
        classes = nn.functional.one_hot(number, 12).float()
        classes[(bins_hz < CHROMA_RANGE_HZ[0]) | (bins_hz > CHROMA_RANGE_HZ[1])] = 0
        return nn.functional.pad(classes, (0, 0, 1, 0))

    @staticmethod
    def _shares(samples: Tensor, window: int, classes: Tensor) -> Tensor:
        power = _power(samples, window, max(window // 4, 1))
        chroma = power @ classes + FLOOR
        return chroma / chroma.sum(dim=2, keepdim=True)


class OnsetLoss(nn.Module):
    """Mean absolute difference of how much compressed magnitudes rise from frame to frame."""

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """The distance of `audio` [B, C, N] from `target` of the same shape."""
        flux = [self._flux(samples.flatten(0, 1).float()) for samples in (audio, target)]
        return (flux[0] - flux[1].detach()).abs().mean()

    @staticmethod
    def _flux(samples: Tensor) -> Tensor:
        window = min(ONSET_WINDOW, samples.shape[1] // 2)
        levels = torch.log1p(GAIN * (_power(samples, window, max(window // 4, 1)) + 1e-12).sqrt())
        return levels.diff(dim=1).clamp_min(0).mean(dim=2)


def _power(samples: Tensor, window: int, hop: int) -> Tensor:
    """[B, N] to [B, T, window / 2 + 1], scaled so that noise of variance 1 has power 1."""
    shape = torch.hann_window(window, device=samples.device)
    spectra = torch.fft.rfft(samples.unfold(1, window, hop) * (shape / shape.square().sum().sqrt()))
    return torch.view_as_real(spectra).square().sum(dim=3)
