"""A band-limited pulse train as short-time spectra: phase by integration, one frame at a time in closed form.

Phases are float64 turns, summed as integers: a sum of integers is the same however it is cut. Float32 phases drift with
the pieces a stream is decoded in; a prototype's differed by 2e-4 within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Share of the Nyquist frequency the highest harmonic stays below: 11.8 kHz at 24 kHz.
HIGHEST_HARMONIC = 11.8 / 12.0
# Between the harmonics of a high voice a frame holds next to nothing; phases there are those of this much.
MIN_MAGNITUDE = 1e-8


# Units of phase a turn has. Sums wrap at 2^64, which whole turns survive.
UNITS = 2**52


@dataclass(slots=True)
class PhaseState:
    units: Tensor  # [B] int64: phase of the pulses at the last frame's center
    f0_hz: Tensor  # [B] float64: F0 of the last frame


class PhaseAccumulator(nn.Module):
    """Integrate F0 over frames by the trapezoid rule: F0 [B, T] in Hz to phases [B, T] in turns, 0...1."""

    def __init__(self, frame_s: float):
        super().__init__()
        self.frame_s = frame_s

    def init_state(self, batch: int, device: torch.device) -> PhaseState:
        f0_hz = torch.zeros(batch, dtype=phase_dtype(device), device=device)
        return PhaseState(torch.zeros_like(f0_hz, dtype=torch.long), f0_hz)

    def forward(self, f0_hz: Tensor, state: PhaseState | None = None) -> Tensor:
        f0_hz = f0_hz.to(phase_dtype(f0_hz.device))
        place = self.init_state(f0_hz.shape[0], f0_hz.device) if state is None else state
        earlier = torch.cat([place.f0_hz[:, None], f0_hz[:, :-1]], dim=1)
        steps = (0.5 * self.frame_s * UNITS * (earlier + f0_hz)).round().long()
        units = (place.units[:, None] + steps.cumsum(dim=1)) & (UNITS - 1)
        if state is not None:
            state.units.copy_(units[:, -1])
            state.f0_hz.copy_(f0_hz[:, -1])
        return units.to(f0_hz.dtype) / UNITS


class PulseTrain(nn.Module):
    """Windowed spectra [B, T, n_fft / 2 + 1] of the pulses of each frame, from their phase at its center.

    A frame is the sum of cos(2 pi k (turns + f0 t + slope t^2 / 2)) over the harmonics k below the band limit, with
    t in seconds from the center; the sum has the closed form sin((K + 1/2) a) / (2 sin(a / 2)) - 1/2.
    """

    window: Tensor
    time_s: Tensor

    def __init__(self, n_fft: int, sample_rate: int):
        super().__init__()
        self.highest_hz = HIGHEST_HARMONIC * sample_rate / 2
        # The closed form is of twice the pulses; half the window takes that back.
        self.window_energy = float(torch.hann_window(n_fft).square().sum())
        self.register_buffer("window", 0.5 * torch.hann_window(n_fft), persistent=False)
        self.register_buffer(
            "time_s", (torch.arange(n_fft, dtype=torch.float64) - n_fft // 2) / sample_rate, persistent=False
        )

    def forward(self, turns: Tensor, f0_hz: Tensor, slope_hz_per_s: Tensor) -> Tensor:
        """All [B, T]; complex64. Only the place inside a period needs the precision of `turns`: the rest is equal for
        equal places."""
        time_s = self.time_s.to(turns.dtype)
        place = turns[..., None] + time_s * torch.addcmul(
            f0_hz.to(turns.dtype)[..., None], slope_hz_per_s.to(turns.dtype)[..., None], 0.5 * time_s
        )
        angle = (place - place.round()).float().mul_(torch.pi)
        n_harmonics = (self.highest_hz / f0_hz).floor().float()[..., None]
        denominator = angle.sin()
        is_peak = denominator.abs() < 1e-6
        pulses = (angle * (2 * n_harmonics + 1)).sin_().div_(denominator.masked_fill_(is_peak, 1.0))
        pulses = torch.where(is_peak, 2 * n_harmonics + 1, pulses).sub_(1.0)
        return torch.fft.rfft(pulses * self.window)


def phase_dtype(device: torch.device) -> torch.dtype:
    """float64 wherever the device has it; Apple's GPUs do not."""
    return torch.float32 if device.type == "mps" else torch.float64
