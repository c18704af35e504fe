"""Who speaks next: a bounded queue of requests and the rows of the running batch. Touches no model."""

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
    """One place in the batch. `frame` [R] is the last sampled one; None while the prompt is read in."""

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
    """Requests wait in turn by client; prompts are read oldest first; all rows decode together.

    A request of several segments goes back to the end of its client's line between two of them while others wait, so
    that a book cannot keep a short answer out for longer than one segment. In a full line, the client with most in it
    makes room for one that has less.
    """

    def __init__(self, n_rows: int, max_waiting: int, pace: ThroughputEstimate):
        self.rows = [Row(index) for index in range(n_rows)]
        self.max_waiting = max_waiting
        self._pace = pace
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
        """Queue a request; raises `Busy` when as many wait as may, or when it could not begin in time."""
        with self._lock:
            wait_s = self._wait_s(session.client)
            limit_s = session.begin_by_s - time.monotonic()
            if wait_s > limit_s:
                raise Busy(
                    f"Speaking would begin in about {wait_s:.0f} s, and this request waits {max(limit_s, 0):.0f} s at "
                    "most (timeout_s, MAX_WAIT_S). Try again later.",
                    retry_after_s=max(LEAST_RETRY_S, wait_s - max(limit_s, 0)),
                )
            # Whoever has left since the last step holds no place, though the step that takes it out is to come.
            n_ahead = sum(not waiting.frames.is_over for waiting in self._waiting)
            displaced = None
            if n_ahead >= self.max_waiting:
                displaced = self._waiting.making_room_for(session.client)
                if displaced is None:
                    raise self._full(n_ahead, wait_s)
                self._waiting.remove(displaced)
            session.waiting_since_s = time.monotonic()
            self._waiting.push(session)
        if displaced is not None:
            displaced.fail(self._full(n_ahead, wait_s))

    def _full(self, n_ahead: int, wait_s: float) -> Busy:
        return Busy(
            f"{n_ahead} requests wait already; the limit is {self.max_waiting} (MAX_QUEUE), shared among all clients. "
            f"Try again in about {wait_s:.0f} s.",
            retry_after_s=max(LEAST_RETRY_S, wait_s),
        )

    def wait_s(self, client: str) -> float:
        """A guess when a request of `client` that came now would begin, from the measured pace."""
        with self._lock:
            return self._wait_s(client)

    def _wait_s(self, client: str) -> float:
        frames_per_s = self._pace.frames_per_s
        free_in_s = [0.0 if row.session is None else row.session.n_frames_left / frames_per_s for row in self.rows]
        heapify(free_in_s)
        for session in self._waiting.ahead_of(client):
            if not session.frames.is_over:
                heapreplace(free_in_s, free_in_s[0] + session.n_frames_left / frames_per_s)
        return free_in_s[0]

    def admit(self) -> list[Row]:
        """Give free rows to waiting requests; returns those rows."""
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

    def give_way(self, row: Row) -> bool:
        """Between two segments: let the next in the queue have the row, if there is one. True if it did."""
        assert row.session is not None and row.segment is None, row
        with self._lock:
            if not self._waiting:
                return False
            row.session.waiting_since_s = time.monotonic()
            self._waiting.push(row.session)
        self.release(row)
        return True

    def take_ended(self) -> list[Session]:
        """Remove and return waiting requests that their caller cancelled or whose time is up."""
        now_s = time.monotonic()
        with self._lock:
            ended = [s for s in self._waiting if s.frames.is_over or now_s > s.wait_limit_s]
            for session in ended:
                self._waiting.remove(session)
        for session in ended:
            session.queue_s += now_s - session.waiting_since_s
        return ended

    def take_all(self) -> list[Session]:
        """Remove and return everyone, waiting or running."""
        with self._lock:
            sessions = list(self._waiting)
            self._waiting.clear()
        for row in self.rows:
            if row.session is not None:
                sessions.append(row.session)
                self.release(row)
        return sessions

    def next_prefill(self) -> Row | None:
        """The row whose prompt is to be read on: the one that came first."""
        prefilling = [row for row in self.rows if row.is_prefilling]
        return min(prefilling, key=lambda row: row.order, default=None)

    def decoding(self) -> list[Row]:
        """The rows that can make another frame: not those whose listener has fallen far behind."""
        return [row for row in self.rows if row.is_decoding and row.session and row.session.frames.has_room]
