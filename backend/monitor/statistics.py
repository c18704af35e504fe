"""Thread-safe running totals and summaries."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

# Quantiles cover only the most recent values, so memory stays constant and old outliers fade.
RECENT = 512


class RunningTotal:
    """A monotonic counter."""

    def __init__(self) -> None:
        self._value = 0.0
        self._lock = threading.Lock()

    def add(self, amount: float = 1) -> None:
        with self._lock:
            self._value += amount

    @property
    def value(self) -> float:
        with self._lock:
            return self._value


@dataclass(frozen=True, slots=True)
class RunningSummarySnapshot:
    """`count` and `total` cover all values, the quantiles the last 512. All zero before the first value."""

    count: int
    total: float
    mean: float
    p50: float
    p95: float
    last: float


class RunningSummary:
    """Count, total and recent quantiles of a series of values."""

    def __init__(self) -> None:
        self._count, self._total = 0, 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        with self._lock:
            self._count += 1
            self._total += value
            self._recent.append(value)

    @property
    def snapshot(self) -> RunningSummarySnapshot:
        with self._lock:
            count, total, recent = self._count, self._total, list(self._recent)
        if not recent:
            return RunningSummarySnapshot(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        ordered = sorted(recent)
        p50, p95 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))
        return RunningSummarySnapshot(count, total, total / count, p50, p95, recent[-1])
