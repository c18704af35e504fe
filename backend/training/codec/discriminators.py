"""Small discriminators of waveforms at several rates and of spectra at several window sizes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from backend.training.codec.adversarial import DiscriminatorLoss

SLOPE = 0.2
# Spectra are compressed to |X|^0.3, so that quiet high bands count; below `FLOOR` they fade out.
COMPRESSION = 0.3
FLOOR = 1e-3


class WaveDiscriminator(nn.Module):
    """Strided convolutions over samples [B, C, N] at 1 / `factor` of their rate."""

    def __init__(self, in_channels: int, channels: int, factor: int):
        super().__init__()
        self.factor = factor
        wide = 4 * channels
        layers = [
            nn.Conv1d(in_channels, channels, 15, padding=7),
            nn.Conv1d(channels, 2 * channels, 21, stride=4, padding=10, groups=max(channels // 4, 1)),
            nn.Conv1d(2 * channels, wide, 21, stride=4, padding=10, groups=max(channels // 4, 1)),
            nn.Conv1d(wide, wide, 21, stride=4, padding=10, groups=max(channels // 4, 1)),
            nn.Conv1d(wide, wide, 5, padding=2),
        ]
        self.layers = nn.ModuleList(_ready(layer) for layer in layers)
        self.judge = _ready(nn.Conv1d(wide, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> DiscriminatorLoss:
        x = F.avg_pool1d(audio, self.factor) if self.factor > 1 else audio
        return _run(self.layers, self.judge, x)


class SpectrumDiscriminator(nn.Module):
    """Convolutions over the real and imaginary spectrum [B, 2C, T, F] of one window size."""

    window: Tensor

    def __init__(self, in_channels: int, channels: int, window: int):
        super().__init__()
        self.n_fft = window
        shape = torch.hann_window(window)
        self.register_buffer("window", shape / shape.square().sum().sqrt(), persistent=False)
        layers = [nn.Conv2d(2 * in_channels, channels, (3, 9), padding=(1, 4))]
        narrow, wide = channels, 2 * channels
        for dilation, (n_in, n_out) in ((1, (narrow, narrow)), (2, (narrow, wide)), (4, (wide, wide))):
            layers.append(nn.Conv2d(n_in, n_out, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4)))
        layers.append(nn.Conv2d(wide, wide, 3, padding=1))
        self.layers = nn.ModuleList(_ready(layer) for layer in layers)
        self.judge = _ready(nn.Conv2d(wide, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> DiscriminatorLoss:
        frames = audio.float().unfold(2, self.n_fft, self.n_fft // 4) * self.window
        parts = torch.view_as_real(torch.fft.rfft(frames))
        power = parts.square().sum(dim=-1, keepdim=True)
        parts = parts * (power + FLOOR**2).pow((COMPRESSION - 1) / 2)
        return _run(self.layers, self.judge, parts.movedim(-1, 2).flatten(1, 2))


class Discriminators(nn.Module):
    """All discriminators: one output each for audio [B, C, N]."""

    def __init__(self, in_channels: int, channels: int, stft_windows: tuple[int, ...], n_wave_scales: int):
        super().__init__()
        judges: list[nn.Module] = [WaveDiscriminator(in_channels, channels, 2**i) for i in range(n_wave_scales)]
        judges += [SpectrumDiscriminator(in_channels, channels, window) for window in stft_windows]
        if not judges:
            raise ValueError("no discriminator: set at least one wave scale or one window")
        self.judges = nn.ModuleList(judges)

    def forward(self, audio: Tensor) -> list[DiscriminatorLoss]:
        return [judge(audio) for judge in self.judges]


def _ready(layer: nn.Conv1d | nn.Conv2d) -> nn.Module:
    """Initializes weights that preserve the activation scale: with the default ones, initial logits nearly vanish."""
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return weight_norm(layer)


def _run(layers: nn.ModuleList, judge: nn.Module, x: Tensor) -> DiscriminatorLoss:
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        features.append(x)
    return DiscriminatorLoss(judge(x), features)
