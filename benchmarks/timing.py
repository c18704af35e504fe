"""How long a call takes, warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Timing(NamedTuple):
    """Wall time per call over `n_calls` after one call of warm-up."""

    best_s: float
    median_s: float
    n_calls: int


def timed(call: Callable[[], object], budget_s: float = 0.5, min_calls: int = 3) -> Timing:
    """Call again and again for about `budget_s`. The call must wait for its own device work."""
    call()
    times_s: list[float] = []
    while len(times_s) < min_calls or sum(times_s) < budget_s:
        start = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start)
    return Timing(min(times_s), median(times_s), len(times_s))
