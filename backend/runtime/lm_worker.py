"""The language model thread: continuous batching with chunked prefill between decode steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from backend.errors import LimitExceeded, PhonogramError
from backend.lm.runaway import FinishReason, LoopDetector, worse
from backend.monitor.statistics import RunningSummary, RunningTotal
from backend.runtime.lru_cache import BoundedCache, CacheCounts, content_key
from backend.runtime.scheduler import Row, Scheduler
from backend.runtime.session import Frame, SegmentPrompt, SegmentStart, Session
from backend.runtime.throughput import ThroughputEstimate
from backend.runtime.worker import PLAIN_THREAD, ThreadSetup, Worker

if TYPE_CHECKING:
    from backend.lm.base import TokenLM
    from backend.lm.spec import StepOutput

# Prompt columns per prefill chunk, the longest delay between two decode steps. The chunk borders do not depend on load,
# so rounding does not either.
PREFILL_COLUMNS = 64
PREFIX_BYTES = 512 * 2**20
# Models sometimes end a segment before the first frame.
SILENT_RETRIES = 2


@dataclass(frozen=True, slots=True)
class BatchSnapshot:
    """Counters of the language model thread since its start, and its current load."""

    steps: int
    steps_by_rows: tuple[int, ...]  # with 1, 2, ... rows
    frames: int
    mean_batch: float
    prefill_columns: int
    waiting: int
    active: int
    rows: int
    prefixes: CacheCounts


class LMWorker:
    """Continuous batching: up to `n_rows` requests share each step, joining and leaving between steps."""

    def __init__(
        self, lm: TokenLM, *, n_rows: int, max_waiting: int, max_frames: int, cache_entries: int, throughput: ThroughputEstimate,
        prefill_columns: int = PREFILL_COLUMNS, setup: ThreadSetup = PLAIN_THREAD,
    ):  # fmt: skip
        self.lm, self.throughput = lm, throughput
        self.max_frames, self.prefill_columns = max_frames, prefill_columns
        self.scheduler = Scheduler(n_rows, max_waiting, throughput)
        self.batch = RunningSummary()
        self._steps_by_rows = [0] * n_rows
        self.columns, self.frames = RunningTotal(), RunningTotal()
        self.prefixes: BoundedCache[Any] = BoundedCache(cache_entries, PREFIX_BYTES, _prefix_bytes)
        self.worker = Worker("language model", self._tick, self._fail, self._fail_all, setup)
        with torch.inference_mode():
            self._state = lm.init_state(n_rows, max_frames)
        # The rows that an error inside the model fails.
        self._current: list[Row] = []
        self.worker.about = lambda: [row.session.request_id for row in self._current if row.session is not None]

    def start(self) -> None:
        self.worker.start()

    def close(self) -> None:
        self.worker.close()

    def submit(self, session: Session) -> None:
        """Queue a request; its frames arrive in `session.frames`. Raises `Busy`."""
        session.frames.on_room = self.worker.wake
        self.scheduler.submit(session)
        self.worker.wake()

    @property
    def snapshot(self) -> BatchSnapshot:
        batch = self.batch.snapshot
        return BatchSnapshot(
            steps=batch.count, steps_by_rows=tuple(self._steps_by_rows), frames=int(self.frames.value), mean_batch=batch.mean,
            prefill_columns=int(self.columns.value), waiting=self.scheduler.n_waiting,
            active=self.scheduler.n_active, rows=len(self.scheduler.rows), prefixes=self.prefixes.counts,
        )  # fmt: skip

    def _tick(self) -> bool:
        self._current = []
        for session in self.scheduler.take_ended():
            self._fail_if_ended(session)
        for row in self.scheduler.rows:
            if row.session is not None and self._fail_if_ended(row.session):
                self.scheduler.release(row)
        for row in self.scheduler.admit():
            self._isolate(row, partial(self._begin, row))
        did_prefill = self._prefill()
        return self._step() or did_prefill

    def _fail_if_ended(self, session: Session) -> bool:
        """Fail a cancelled or expired session; return whether it was one."""
        try:
            session.check()
        except PhonogramError as error:
            session.fail(error)
            return True
        return False

    def _fail(self, error: PhonogramError) -> None:
        for row in self._current:
            if row.session is not None:
                row.session.fail(error)
            self.scheduler.release(row)

    def _fail_all(self, error: PhonogramError) -> None:
        for session in self.scheduler.take_all():
            session.fail(error)

    def _begin(self, row: Row) -> None:
        """Start the row's next segment."""
        session = row.session
        assert session is not None
        row.clear_segment()
        segment = session.source.next()
        n_columns = segment.prompt.tokens.shape[1]
        if n_columns >= self.max_frames:
            raise LimitExceeded(
                f"The prompt takes {n_columns} of {self.max_frames} frames, which leaves none for speech. Use a "
                "shorter reference, or raise MAX_SEQ_LEN."
            )
        self._set_up(row, segment._replace(max_frames=min(segment.max_frames, self.max_frames - n_columns)))
        session.frames.put(SegmentStart(segment.pause_s, segment.speed, pitch=segment.pitch))

    def _set_up(self, row: Row, segment: SegmentPrompt) -> None:
        """Reset the row for a segment and load the cached voice prefix."""
        assert row.session is not None
        row.clear_segment()
        row.segment = segment
        row.loop = None if segment.limits is None else LoopDetector(segment.limits.frame_rate_hz)
        self._state.reset_row(row.index)
        self._load_prefix(row, segment, row.session)

    def _finish(self, row: Row, session: Session) -> None:
        self.scheduler.release(row)
        self.throughput.update(session.n_frames, session.semantic_s)
        if session.source.closing_pause_s:
            session.frames.put(SegmentStart(session.source.closing_pause_s))
        session.frames.finish()

    def _load_prefix(self, row: Row, segment: SegmentPrompt, session: Session) -> None:
        n_shared = _n_shared(segment)
        if not n_shared or not session.use_prefix_cache:
            return
        prefix = self.prefixes.get(_prefix_key(segment))
        if prefix is not None:
            self._state.load_prefix(row.index, prefix)
            row.n_prefilled = n_shared
            session.n_prefix_hits += 1

    def _prefill(self) -> bool:
        """Prefill one chunk of one prompt; return False if no prompt is waiting."""
        row = self.scheduler.next_prefill()
        if row is None:
            return False
        self._current = [row]
        segment, session = row.segment, row.session
        assert segment is not None and session is not None
        n_columns, n_shared = segment.prompt.tokens.shape[1], _n_shared(segment)
        # The voice prefix always ends a chunk, cached or not, so that rounding is the same.
        border = n_shared if row.n_prefilled < n_shared else n_columns
        end = min(border, row.n_prefilled + self.prefill_columns)
        part = slice(row.n_prefilled, end)
        prompt = segment.prompt
        piece = prompt._replace(tokens=prompt.tokens[:, part], side=None if prompt.side is None else prompt.side[part])
        started_s = session.timeline.elapsed_s
        out = self.lm.prefill(piece, self._state, row.index)
        session.timeline.add("prefill", started_s, session.timeline.elapsed_s)
        self.columns.add(end - row.n_prefilled)
        row.n_prefilled = end
        if end == n_shared and session.use_prefix_cache:
            self.prefixes.put(_prefix_key(segment), self._state.copy_prefix(row.index))
        if end == n_columns:
            self._emit([row], out)
        return True

    def _step(self) -> bool:
        """Decode one frame for every ready row; return False if there is none."""
        rows = self.scheduler.decoding()
        if not rows:
            return False
        self._current = rows
        frames = torch.stack([row.frame for row in rows])  # type: ignore[misc]
        out = self.lm.step(frames, self._state, [row.index for row in rows], _sides(rows))
        self.batch.add(len(rows))
        self._steps_by_rows[len(rows) - 1] += 1
        self._emit(rows, out)
        return True

    def _emit(self, rows: Sequence[Row], out: StepOutput) -> None:
        """Sample a frame for each row, emit it, and end finished segments."""
        segments = [row.segment for row in rows]
        samplers = [segment.sampler for segment in segments if segment is not None]
        frames = self.lm.sample(out, samplers, self._state, [row.index for row in rows])
        values = frames.cpu().numpy()
        for position, row in enumerate(rows):
            row.frame = frames[position]
        reasons = [self._emit_frame(row, values[position]) for position, row in enumerate(rows)]
        for row, reason in zip(rows, reasons, strict=True):
            if reason is not None:
                self._isolate(row, partial(self._end_segment, row, reason))

    def _isolate(self, row: Row, function: Callable[[], None]) -> None:
        """Run `function` so that an error fails only this row's request."""
        session, current = row.session, self._current
        self._current = [row]
        outcome = self.worker.attempt(function)
        self._current = current
        if isinstance(outcome, PhonogramError):
            assert session is not None
            session.fail(outcome)
            self.scheduler.release(row)

    def _emit_frame(self, row: Row, frame: np.ndarray) -> FinishReason | None:
        """Emit one frame; return the finish reason if it ends the segment."""
        segment, session = row.segment, row.session
        assert segment is not None and session is not None
        if frame[0] == self.lm.spec.end_id:
            return "stop"
        codes = frame[1:].copy()
        row.codes.append(codes)
        session.n_frames += 1
        self.frames.add()
        session.frames.put(Frame(codes))
        pointer = segment.sampler.pointer
        if pointer is not None and pointer.is_finished:
            return "pointer_end"
        if row.loop is not None and row.loop.push(int(frame[0])):
            return "repetition"
        return "length" if len(row.codes) >= _longest(segment) else None

    def _end_segment(self, row: Row, reason: FinishReason) -> None:
        """Start the request's next segment, requeue the request, or finish it."""
        session, segment = row.session, row.segment
        assert session is not None and segment is not None
        if not row.codes and segment.sampler.attempt < SILENT_RETRIES:
            # It said nothing at all: once more, with other noise, which is as much a function of the seed.
            self._set_up(row, segment._replace(sampler=segment.sampler.next_attempt()))
            return
        if (
            _is_runaway(segment, reason)
            and segment.limits is not None
            and segment.sampler.attempt < segment.limits.retries
        ):
            session.n_frames -= len(row.codes)
            session.n_retries += 1
            self._set_up(row, segment._replace(sampler=segment.sampler.next_attempt()))
            session.frames.put(SegmentStart(segment.pause_s, segment.speed, is_retry=True, pitch=segment.pitch))
            return
        n_codebooks = self.lm.spec.n_codebooks
        codes = np.stack(row.codes, axis=1) if row.codes else np.zeros((n_codebooks, 0), np.int64)
        session.finish_reason = worse(session.finish_reason, reason)
        row.clear_segment()
        pointer = segment.sampler.pointer
        path = None if pointer is None else np.array(pointer.path[: codes.shape[1]], np.int64)
        session.source.done(codes, reason, path)
        if not session.source.has_next:
            self._finish(row, session)
        elif not self.scheduler.yield_row(row):
            self._begin(row)


def _longest(segment: SegmentPrompt) -> int:
    return segment.max_frames if segment.limits is None else min(segment.max_frames, segment.limits.longest_frames)


def _is_runaway(segment: SegmentPrompt, reason: FinishReason) -> bool:
    """Whether the segment looped or exceeded the expected length, rather than the client's own limit."""
    return reason == "repetition" or (reason == "length" and _longest(segment) < segment.max_frames)


def _sides(rows: Sequence[Row]) -> torch.Tensor | None:
    """Return the side input of the rows' text pointers, [B, n_side]; None if the model has none."""
    pointers = [row.segment.sampler.pointer for row in rows if row.segment is not None]
    sides = [pointer.side() for pointer in pointers if pointer is not None]
    return torch.from_numpy(np.stack(sides)) if sides else None


def _n_shared(segment: SegmentPrompt) -> int:
    """Return the columns cached for the voice; at least one is left to prefill, for its output."""
    return min(segment.n_shared, segment.prompt.tokens.shape[1] - 1)


def _prefix_key(segment: SegmentPrompt) -> str:
    prompt, n_shared = segment.prompt, _n_shared(segment)
    parts = [prompt.tokens[:, :n_shared], prompt.conditioning, None if prompt.side is None else prompt.side[:n_shared]]
    return content_key(n_shared, *(None if part is None else part.cpu().numpy().tobytes() for part in parts))


def _prefix_bytes(prefix: Any) -> int:
    return prefix.size_bytes
