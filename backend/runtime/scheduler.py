"""Scheduler: a bounded request queue and the rows of the running batch."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import Busy
from backend.lm.runaway import LoopDetector
from backend.runtime.fair_queue import FairQueue
from backend.runtime.session import SegmentPrompt, Session
from backend.runtime.throughput import ThroughputEstimate

if TYPE_CHECKING:
    from torch import Tensor

LEAST_RETRY_S = 1.0


@dataclass(slots=True)
class Row:
    """One row of the batch. `frame` [R] is the last sampled frame; None during prefill."""

    index: int
    session: Session | None = None
    segment: SegmentPrompt | None = None
    n_prefilled: int = 0
    frame: Tensor | None = None
    codes: list[np.ndarray] = field(default_factory=list)
    loop: LoopDetector | None = None
    order: int = 0

    @property
    def is_prefilling(self) -> bool:
        return self.segment is not None and self.frame is None

    @property
    def is_decoding(self) -> bool:
        return self.frame is not None

    def clear_segment(self) -> None:
        self.segment, self.frame, self.n_prefilled = None, None, 0
        self.codes, self.loop = [], None


class Scheduler:
    """Queues requests round-robin by client, prefills the oldest first and decodes all rows together.

    Between two segments, a request returns to the end of its client's queue while others wait, so a long text delays
    a short one by at most one segment. In a full queue, the client with the most requests loses its newest one to a
    client with fewer.
    """

    def __init__(self, n_rows: int, max_waiting: int, throughput: ThroughputEstimate):
        self.rows = [Row(index) for index in range(n_rows)]
        self.max_waiting = max_waiting
        self._throughput = throughput
        self._waiting = FairQueue()
        self._lock = threading.Lock()
        self._n_admitted = 0

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    @property
    def n_active(self) -> int:
        return sum(row.session is not None for row in self.rows)

    def submit(self, session: Session) -> None:
        """Queue a request; raises `Busy` if the queue is full or the estimated wait exceeds the request's limit."""
        with self._lock:
            wait_s = self._wait_s(session.client)
            limit_s = session.begin_by_s - time.monotonic()
            if wait_s > limit_s:
                raise Busy(
                    f"The estimated wait is {wait_s:.0f} s; the limit of this request is {max(limit_s, 0):.0f} s "
                    "(timeout_s, MAX_WAIT_S). Try again later.",
                    retry_after_s=max(LEAST_RETRY_S, wait_s - max(limit_s, 0)),
                )
            # Ended requests do not count, although the next step has yet to remove them.
            n_ahead = sum(not waiting.frames.is_over for waiting in self._waiting)
            displaced = None
            if n_ahead >= self.max_waiting:
                displaced = self._waiting.displaced_by(session.client)
                if displaced is None:
                    raise self._full(n_ahead, wait_s)
                self._waiting.remove(displaced)
            session.waiting_since_s = time.monotonic()
            self._waiting.push(session)
        if displaced is not None:
            displaced.fail(self._full(n_ahead, wait_s))

    def _full(self, n_ahead: int, wait_s: float) -> Busy:
        return Busy(
            f"{n_ahead} requests are waiting; the limit is {self.max_waiting} (MAX_QUEUE), shared by all clients. "
            f"Try again in about {wait_s:.0f} s.",
            retry_after_s=max(LEAST_RETRY_S, wait_s),
        )

    def wait_s(self, client: str) -> float:
        """Estimate the queue wait of a new request of `client` from the measured throughput."""
        with self._lock:
            return self._wait_s(client)

    def _wait_s(self, client: str) -> float:
        frames_per_s = self._throughput.frames_per_s
        free_in_s = [0.0 if row.session is None else row.session.n_frames_left / frames_per_s for row in self.rows]
        heapify(free_in_s)
        for session in self._waiting.ahead_of(client):
            if not session.frames.is_over:
                heapreplace(free_in_s, free_in_s[0] + session.n_frames_left / frames_per_s)
        return free_in_s[0]

    def admit(self) -> list[Row]:
        """Assign free rows to waiting requests and return those rows."""
        filled = []
        for row in self.rows:
            if row.session is None:
                with self._lock:
                    row.session = self._waiting.pop(Counter(r.session.client for r in self.rows if r.session))
                if row.session is None:
                    break
                row.session.admitted_s = time.monotonic()
                row.session.queue_s += row.session.admitted_s - row.session.waiting_since_s
                self._n_admitted += 1
                row.order = self._n_admitted
                filled.append(row)
        return filled

    def release(self, row: Row) -> None:
        """Free a row."""
        row.clear_segment()
        if row.session is not None:
            row.session.semantic_s += time.monotonic() - row.session.admitted_s
        row.session = None

    def yield_row(self, row: Row) -> bool:
        """Between two segments, requeue the row's request if others wait; return whether it did."""
        assert row.session is not None and row.segment is None, row
        with self._lock:
            if not self._waiting:
                return False
            row.session.waiting_since_s = time.monotonic()
            self._waiting.push(row.session)
        self.release(row)
        return True

    def take_ended(self) -> list[Session]:
        """Remove and return waiting requests that were cancelled or timed out."""
        now_s = time.monotonic()
        with self._lock:
            ended = [s for s in self._waiting if s.frames.is_over or now_s > s.wait_limit_s]
            for session in ended:
                self._waiting.remove(session)
        for session in ended:
            session.queue_s += now_s - session.waiting_since_s
        return ended

    def take_all(self) -> list[Session]:
        """Remove and return all requests, waiting or running."""
        with self._lock:
            sessions = list(self._waiting)
            self._waiting.clear()
        for row in self.rows:
            if row.session is not None:
                sessions.append(row.session)
                self.release(row)
        return sessions

    def next_prefill(self) -> Row | None:
        """Return the row to prefill next: the one admitted first."""
        prefilling = [row for row in self.rows if row.is_prefilling]
        return min(prefilling, key=lambda row: row.order, default=None)

    def decoding(self) -> list[Row]:
        """Return the rows ready to decode, without those whose frame stream is full."""
        return [row for row in self.rows if row.is_decoding and row.session and row.session.frames.has_room]
