"""Session: one request in the runtime, from its segment prompts to its frames."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from backend.errors import Busy, Cancelled, PhonogramError, TimedOut
from backend.lm.runaway import FinishReason, RunawayLimits
from backend.monitor.log_format import REQUEST_ID
from backend.runtime.bounded_stream import BoundedStream
from backend.runtime.trace import Trace

if TYPE_CHECKING:
    from backend.lm.base import SamplerState
    from backend.lm.spec import Prompt

# 160 s at 25 frames a second, so the language model can run ahead of a slow client and free its row.
FRAME_CAPACITY = 4096


class SegmentStart(NamedTuple):
    """Marks the start of a segment in the frame stream, after `pause_s` of silence, played at `speed`
    and moved by `pitch` semitones.

    `is_retry`: it replaces the previous segment, of which nothing was emitted.
    """

    pause_s: float = 0.0
    speed: float = 1.0
    is_retry: bool = False
    pitch: float = 0.0


class Frame(NamedTuple):
    codes: np.ndarray  # [K] int64


FrameItem = SegmentStart | Frame


class SegmentPrompt(NamedTuple):
    """One segment to generate. The first `n_shared` columns are the same in every prompt of this voice.

    A sampler with a text pointer ends the segment when the pointer reaches the end of the text. `limits` end a runaway
    segment; retries require that segments are emitted only when complete.
    """

    prompt: Prompt
    sampler: SamplerState
    max_frames: int
    n_shared: int = 0
    pause_s: float = 0.0
    speed: float = 1.0
    limits: RunawayLimits | None = None
    pitch: float = 0.0


class SpokenSegment(NamedTuple):
    """A generated segment: the silence before it, its codes [K, T] (int64) and its playback speed.

    `path` [T] is the index of the text symbol spoken in each frame, 0 for the silence before; None without a pointer.
    """

    pause_s: float
    codes: np.ndarray
    speed: float = 1.0
    text: str = ""
    path: np.ndarray | None = None
    pitch: float = 0.0


class SegmentSource(Protocol):
    """Supplies the language model thread with the segments of one request."""

    spoken: list[SpokenSegment]  # the segments done so far
    closing_pause_s: float  # silence after the last of them

    @property
    def has_next(self) -> bool:
        """Whether another segment follows."""

    def next(self) -> SegmentPrompt:
        """Return the next segment to generate. Call it only while `has_next`."""

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        """Store the result of the last segment: `codes` [K, T] and the pointer's `path` [T], if it has one."""


@dataclass(slots=True)
class Session:
    """A request whose frames flow from the language model thread through `frames`. Either side can end it."""

    source: SegmentSource
    deadline_s: float  # on the monotonic clock
    use_prefix_cache: bool = True
    client: str = ""  # for fair queueing
    begin_by_s: float = math.inf  # on the monotonic clock; a request still queued then is rejected
    n_usual_frames: int = 0  # estimated length
    timeline: Trace = field(default_factory=Trace)
    seed: int = 0
    is_cached: bool = False  # all frames came from the cache
    ignored: tuple[str, ...] = ()  # requested options that are not applied
    request_id: str = field(default_factory=REQUEST_ID.get)  # for the log
    frames: BoundedStream[FrameItem] = field(default_factory=lambda: BoundedStream(FRAME_CAPACITY))
    finish_reason: FinishReason = "stop"
    n_retries: int = 0  # runaway segments that were regenerated
    n_frames: int = 0
    n_prefix_hits: int = 0
    queue_s: float = 0.0
    semantic_s: float = 0.0
    waiting_since_s: float = 0.0
    admitted_s: float = 0.0

    @property
    def n_frames_left(self) -> int:
        """Estimated number of frames left, at least one."""
        return max(1, self.n_usual_frames - self.n_frames)

    @property
    def wait_limit_s(self) -> float:
        """End of the longest wait on the monotonic clock. `begin_by_s` applies until the first segment starts."""
        return self.deadline_s if self.admitted_s else min(self.deadline_s, self.begin_by_s)

    def cancel(self) -> None:
        """Cancel the request; its row is free within a frame."""
        self.frames.cancel()

    def fail(self, error: PhonogramError) -> None:
        self.frames.fail(error)

    def check(self) -> None:
        """Raise an error if the session was cancelled, failed or timed out."""
        if self.frames.error is not None:
            raise Cancelled("The request has already ended.") from self.frames.error
        if time.monotonic() > self.deadline_s:
            raise TimedOut(
                f"Synthesis took longer than {self.deadline_s - self.timeline.started_s:.1f} s, the limit from "
                "timeout_s or the measured throughput. Send a shorter text, or try when the server is less busy."
            )
        if time.monotonic() > self.wait_limit_s:
            raise Busy(
                f"No row became free within {self.begin_by_s - self.timeline.started_s:.1f} s (timeout_s, MAX_WAIT_S). "
                "Try again later.",
                retry_after_s=max(1.0, self.begin_by_s - self.timeline.started_s),
            )
