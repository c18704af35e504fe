"""Magnitudes of a voice moved to another pitch: the envelope stays, the harmonics move."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_POWER = 1e-20


def shifted_magnitude(
    magnitude: Tensor, f0_hz: Tensor, pulses: Tensor, shifted_f0_hz: Tensor, bin_hz: float
) -> tuple[Tensor, Tensor]:
    """Magnitudes [B, T, n_bins] with harmonics at `shifted_f0_hz` [B, T], and their envelope.

    `pulses` are the magnitudes of a pulse train at the new F0. A spectrum smoothed over one F0 has no harmonics left
    (as in WORLD's CheapTrick, Morise 2015); the pulses bring the new ones, scaled to hold as much power.
    """
    envelope = smoothed_power(magnitude, f0_hz / bin_hz).sqrt()
    comb = pulses / smoothed_power(pulses, shifted_f0_hz / bin_hz).sqrt()
    return (envelope * comb).to(magnitude.dtype), envelope.to(magnitude.dtype)


def smoothed_power(magnitude: Tensor, width_bins: Tensor) -> Tensor:
    """The mean power [B, T, n_bins] within `width_bins` [B, T] around each bin, in float64."""
    power = magnitude.double().square() + MIN_POWER
    n_bins = power.shape[2]
    # The integral of power up to each bin's edges; differences of it are sums over any width.
    integral = torch.nn.functional.pad(power.cumsum(dim=2), (1, 0))
    centers = torch.arange(n_bins, device=power.device) + 0.5
    half = 0.5 * width_bins.double()[..., None]
    low, high = (centers - half).clamp_min(0.0), (centers + half).clamp_max(n_bins)
    return (_at(integral, high) - _at(integral, low)).clamp_min(MIN_POWER) / (high - low)


def _at(integral: Tensor, place: Tensor) -> Tensor:
    """An integral at places between its points."""
    left = place.floor().clamp_max(integral.shape[2] - 2)
    start = integral.gather(2, left.long())
    return start + (place - left) * (integral.gather(2, left.long() + 1) - start)
