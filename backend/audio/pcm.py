"""Conversion between float and 16-bit samples, with clipping."""

from __future__ import annotations

import numpy as np

from backend.errors import BadAudio


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round floats of any shape to int16; values outside -1...1 are clipped, so +1.0 becomes 32767.

    The scale is 32768, as in common readers: int16 -> float -> int16 is exact. Raises `BadAudio` for NaN.
    """
    if not np.isfinite(samples).all():
        raise BadAudio("Samples are NaN or infinite; expected finite values. Repair them first.")
    scaled = np.rint(np.clip(np.asarray(samples, np.float32), -1.0, 1.0) * np.float32(32768.0))
    return np.minimum(scaled, np.float32(32767.0)).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Convert int16 samples of any shape to float32 in -1...1."""
    return samples.astype(np.float32) / np.float32(32768.0)
