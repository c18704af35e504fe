"""Sessions with fake prompts and a worker that runs them."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import torch

from backend.runtime.lm_worker import LMWorker
from backend.runtime.session import Frame, SegmentPrompt, Session
from backend.runtime.throughput import ThroughputEstimate
from tests.support.fake_lm import N_CODEBOOKS, FakeLM, FakePrompt, FakeSampler


class ReadySource:
    """Segments of given lengths; `finished` collects their codes."""

    def __init__(
        self,
        seed: int,
        n_frames: list[int],
        *,
        n_columns: int = 10,
        n_shared: int = 0,
        max_frames: int = 1000,
        limits=None,
    ):
        self.seed, self.n_frames, self.n_columns = seed, list(n_frames), n_columns
        self.n_shared, self.max_frames, self.limits = n_shared, max_frames, limits
        self.finished: list[np.ndarray] = []
        self.reasons: list[str] = []
        self.n_given, self.closing_pause_s = 0, 0.0

    @property
    def has_next(self) -> bool:
        return self.n_given < len(self.n_frames)

    def next(self) -> SegmentPrompt:
        k = self.n_given
        self.n_given += 1
        tokens = torch.arange(self.n_columns).repeat(1 + N_CODEBOOKS, 1) + self.seed + 100 * k
        # The shared columns are the voice prefix, equal for every request.
        tokens[:, : self.n_shared] = torch.arange(self.n_shared)
        return SegmentPrompt(
            FakePrompt(tokens),
            FakeSampler(self.seed, self.n_frames[k]),
            self.max_frames,
            self.n_shared,
            limits=self.limits,
        )

    def done(self, codes: np.ndarray, finish_reason: str, path: np.ndarray | None) -> None:
        self.finished.append(codes)
        self.reasons.append(finish_reason)


def session_for(source, *, timeout_s: float = 30.0, use_prefix_cache: bool = True) -> Session:
    return Session(source, time.monotonic() + timeout_s, use_prefix_cache)


def collect(session: Session) -> np.ndarray:
    """All frames of a session, [K, T]."""
    frames = []
    while (item := session.frames.get(10.0)) is not None:
        if isinstance(item, Frame):
            frames.append(item.codes)
    return np.stack(frames, axis=1) if frames else np.zeros((N_CODEBOOKS, 0), np.int64)


@contextmanager
def running(lm=None, **changes):
    options = {
        "n_rows": 8,
        "max_waiting": 64,
        "max_frames": 1000,
        "cache_entries": 10,
        "throughput": ThroughputEstimate(),
    }
    worker = LMWorker(lm or FakeLM(), **{**options, **changes})
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def run_alone(source) -> np.ndarray:
    with running() as worker:
        session = session_for(source)
        worker.submit(session)
        return collect(session)
