"""How long a call takes, warm."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from backend.optimize.planner.benchmark import call_times_s


class Timing(NamedTuple):
    """Wall time per call over `n_calls` after one call of warm-up."""

    best_s: float
    median_s: float
    n_calls: int


def timed(call: Callable[[], object], budget_s: float = 0.5, min_calls: int = 3) -> Timing:
    """Call again and again for about `budget_s`. The call must wait for its own device work."""
    times_s = call_times_s(call, budget_s, min_calls)
    return Timing(min(times_s), median(times_s), len(times_s))
