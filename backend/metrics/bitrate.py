"""Bitrates, counted from bytes."""

from __future__ import annotations


def kbps(size_bytes: int, duration_s: float) -> float:
    """Thousands of bits for each second of sound."""
    return size_bytes * 8 / 1000 / duration_s
