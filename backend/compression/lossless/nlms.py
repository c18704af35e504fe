"""Normalized least mean squares filters on 16-bit histories with 32-bit weights, of which products take the upper half."""

from __future__ import annotations

import numpy as np

from backend.compression.lossless.compilation import compiled

PREDICTION_BITS = 14  # of the fraction in a weight's upper 16 bits; weights reach from -2 to 2
SLACK = 4096  # samples a history may grow before it is moved back


@compiled
def dot(history, weights, n):
    """Products summed in 32 bits that wrap, which vector units do sixteen at a time."""
    total = np.int32(0)
    for i in range(n):
        total = np.int32(total + np.int32(history[i]) * np.int32(weights[i]))
    return np.int64(total)


@compiled
def adapt(history, weights, high, gain, n):
    """Add `gain` times the history to the weights; `high` are their upper halves."""
    step = np.int32(np.int16(gain))
    for i in range(n):
        weights[i] = np.int32(weights[i] + step * np.int32(history[i]))
    for i in range(n):
        high[i] = np.int16(weights[i] >> 16)


@compiled
def push(history, place, taps, value):
    """Append `value` to a history whose window of `taps` begins at `place`; returns the new place."""
    if place + taps == history.size:
        for i in range(taps):
            history[i] = history[place + i]
        place = np.int64(0)
    history[place + taps] = np.int16(value)
    return place + 1
