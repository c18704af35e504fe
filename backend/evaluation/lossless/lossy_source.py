"""Sounds that look as if they had been through a lossy coder: nothing above a frequency that is not their own limit."""

from __future__ import annotations

import numpy as np

_FRAME = 4096
_MIN_DROP_DB = 30.0
_MIN_RATE_HZ = 32_000


def lossy_cutoff_hz(samples: np.ndarray, rate_hz: int) -> float | None:
    """The frequency above which the mean spectrum of samples [C, N] falls off a cliff, or None.

    A cliff is a drop of 30 dB within 1 kHz, below 95 % of half the rate, with nothing louder above it. It is a hint:
    resampled and synthetic sounds have cliffs too.
    """
    if rate_hz < _MIN_RATE_HZ or samples.shape[1] < 4 * _FRAME:
        return None
    mono = samples.astype(np.float64).mean(axis=0)
    n_frames = min(mono.size // _FRAME, 256)
    starts = np.linspace(0, mono.size - _FRAME, n_frames).astype(int)
    frames = np.stack([mono[start : start + _FRAME] for start in starts]) * np.hanning(_FRAME)
    power = (np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)
    level_db = 10 * np.log10(power + 1e-9)
    bin_hz = rate_hz / _FRAME
    width = max(int(1000 / bin_hz), 1)
    smooth = np.convolve(level_db, np.ones(9) / 9, mode="same")
    last = int(0.95 * smooth.size) - width
    first = int(8000 / bin_hz)
    drops = smooth[first:last] - smooth[first + width : last + width]
    if drops.size == 0 or drops.max() < _MIN_DROP_DB:
        return None
    at = first + int(drops.argmax())
    if smooth[at + width :].max() > smooth[at] - _MIN_DROP_DB / 2:
        return None
    return float(at * bin_hz)
