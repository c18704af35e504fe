"""Bootstrap confidence intervals of means over files."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

N_RESAMPLES = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over `n` files and its confidence bounds, which equal the mean for one file."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: np.ndarray, weights: np.ndarray | None = None, seed: int = 0) -> Interval:
    """Returns the weighted mean of `values` [n] and its 95 % percentile bootstrap interval over files.

    For two codecs on the same files pass the differences, which gives the paired interval.
    """
    values = np.asarray(values, np.float64)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, np.float64)
    if not len(values) or values.shape != weights.shape or weights.sum() <= 0:
        raise ValueError(f"{values.shape} values and {weights.shape} weights of sum {weights.sum()} have no mean")
    samples = np.random.default_rng(seed).integers(len(values), size=(N_RESAMPLES, len(values)))
    totals = weights[samples].sum(axis=1)
    # Skip resamples without any weight.
    means = (values * weights)[samples].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values @ weights / weights.sum()), float(low), float(high), len(values))
