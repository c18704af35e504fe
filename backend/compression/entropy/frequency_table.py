"""Probabilities as integers: what a coder may rely on, each at least 1 of a power of two."""

from __future__ import annotations

import numpy as np


def quantized(probabilities: np.ndarray, bits: int) -> np.ndarray:
    """Frequencies [..., V] (int64) of probabilities [..., V]; each at least 1, their sum 2**`bits`.

    The most probable symbol takes what rounding leaves over. Raises `ValueError` for NaN, negative values, or more
    symbols than 2**`bits` has room for.
    """
    probabilities = np.asarray(probabilities, np.float64)
    n_symbols, total = probabilities.shape[-1], 1 << bits
    if n_symbols * 2 > total:
        raise ValueError(f"got {n_symbols} symbols, expected at most {total // 2} for {bits} bits")
    if not (probabilities >= 0).all() or not np.isfinite(probabilities).all():
        raise ValueError("got probabilities that are negative or not finite")
    share = probabilities / np.maximum(probabilities.sum(axis=-1, keepdims=True), 1e-300)
    frequencies = np.floor(share * (total - n_symbols)).astype(np.int64) + 1
    best = frequencies.argmax(axis=-1, keepdims=True)
    rest = total - frequencies.sum(axis=-1, keepdims=True)
    np.put_along_axis(frequencies, best, np.take_along_axis(frequencies, best, -1) + rest, -1)
    return frequencies


def starts_of(frequencies: np.ndarray) -> np.ndarray:
    """Where each symbol's span begins, and the end of the last one: [..., V + 1]."""
    starts = np.zeros((*frequencies.shape[:-1], frequencies.shape[-1] + 1), np.int64)
    np.cumsum(frequencies, axis=-1, out=starts[..., 1:])
    return starts
