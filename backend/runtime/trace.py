"""Trace of one request: named spans on the monotonic clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One operation, timed in seconds since the request arrived."""

    name: str
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class Trace:
    """The spans of one request. Thread-safe."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_s

    @property
    def spans(self) -> tuple[Span, ...]:
        with self._lock:
            return tuple(self._spans)

    def add(self, name: str, start_s: float, end_s: float) -> None:
        """Add a span; both times are values of `elapsed_s`."""
        with self._lock:
            self._spans.append(Span(name, start_s, end_s))

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time the block, also when it raises."""
        start_s = self.elapsed_s
        try:
            yield
        finally:
            self.add(name, start_s, self.elapsed_s)

    def total_s(self, name: str) -> float:
        """Return the total duration of all spans called `name`."""
        return sum(span.duration_s for span in self.spans if span.name == name)
