"""Floats to 16-bit samples and back, without wrapping."""

from __future__ import annotations

import numpy as np

from backend.errors import BadAudio


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round floats of any shape to int16; values outside -1...1 clip, so +1.0 becomes 32767.

    The scale is 32768, the one readers divide by: int16 -> float -> int16 is exact. Raises `BadAudio` for NaN.
    """
    if not np.isfinite(samples).all():
        raise BadAudio("Samples are NaN or infinite; they cannot be written as 16-bit sound. Repair them first.")
    scaled = np.rint(np.clip(np.asarray(samples, np.float32), -1.0, 1.0) * np.float32(32768.0))
    return np.minimum(scaled, np.float32(32767.0)).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """int16 samples of any shape as float32 in -1...1."""
    return samples.astype(np.float32) / np.float32(32768.0)
