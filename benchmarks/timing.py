"""Timing of repeated calls."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from backend.optimize.planner.benchmark import call_times_s


class Timing(NamedTuple):
    """Wall time per call over `n_calls` after one warm-up call."""

    best_s: float
    median_s: float
    n_calls: int


def timed(call: Callable[[], object], budget_s: float = 0.5, min_calls: int = 3) -> Timing:
    """Times repeated calls for about `budget_s`. The call must synchronize with its device."""
    times_s = call_times_s(call, budget_s, min_calls)
    return Timing(min(times_s), median(times_s), len(times_s))
