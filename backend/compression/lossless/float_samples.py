"""Floats that are integers times one power of two, as most exported 32-bit files are, and back to the same bits."""

from __future__ import annotations

import numpy as np

from backend.compression.lossless.pcm_layout import PcmLayout

MAX_EXPONENT = 127
_LIMIT = 1 << 24


def scaled_floats(content: bytes, layout: PcmLayout) -> tuple[np.ndarray, int] | None:
    """Integers [C, N] and the exponent k with value = integer * 2**-k, or None where no such k gives the same bits."""
    values = _floats(content, layout).astype(np.float64)
    if not values.size or not np.isfinite(values).all():
        return None
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**53).astype(np.int64)
    is_used = whole != 0
    if not is_used.any():
        scale = 0
    else:
        lowest = np.log2((whole[is_used] & -whole[is_used]).astype(np.float64)).astype(np.int64)
        scale = -int((exponent[is_used] - 53 + lowest).min())
    if not 0 <= scale <= MAX_EXPONENT or np.abs(values).max() * 2.0**scale >= _LIMIT:
        return None
    samples = (values * 2.0**scale).astype(np.int32).reshape(-1, layout.channels).T
    samples = np.ascontiguousarray(samples)
    # A negative zero has no integer.
    return (samples, scale) if float_bytes(samples, scale, layout) == content else None


def float_bytes(samples: np.ndarray, exponent: int, layout: PcmLayout) -> bytes:
    values = np.ascontiguousarray(samples.T).reshape(-1) * 2.0**-exponent
    return values.astype(_kind(layout)).tobytes()


def _floats(content: bytes, layout: PcmLayout) -> np.ndarray:
    return np.frombuffer(content, _kind(layout))


def _kind(layout: PcmLayout) -> str:
    return f"{'>' if layout.is_big_endian else '<'}f{layout.sample_bytes}"
