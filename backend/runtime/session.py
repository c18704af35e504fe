"""One request inside the runtime: what it wants spoken, and the frames that come of it."""

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

# 160 s at 25 frames a second: the language model runs ahead of a slow listener and frees its row.
FRAME_CAPACITY = 4096


class SegmentStart(NamedTuple):
    """What follows in the frame stream is a new segment, after `pause_s` of silence, to be heard at `speed` and moved
    in pitch by `pitch` semitones.

    `is_again`: it takes the place of the segment before it, of which nothing was handed on.
    """

    pause_s: float = 0.0
    speed: float = 1.0
    is_again: bool = False
    pitch: float = 0.0


class Frame(NamedTuple):
    codes: np.ndarray  # [K] int64


FrameItem = SegmentStart | Frame


class SegmentPrompt(NamedTuple):
    """One segment to generate. The first `n_shared` columns are the same in every prompt of this voice.

    A sampler with a pointer ends the segment where the pointer has gone through its text. A `watch` ends it when it
    runs away; one with retries needs a listener that holds a segment back until it is complete.
    """

    prompt: Prompt
    sampler: SamplerState
    max_frames: int
    n_shared: int = 0
    pause_s: float = 0.0
    speed: float = 1.0
    watch: RunawayLimits | None = None
    pitch: float = 0.0


class SpokenSegment(NamedTuple):
    """One segment as it became: the silence before it, its codes [K, T] (int64), and how fast they are heard.

    `path` [T] is the symbol of its text that each frame speaks, 0 the silence before, where a pointer knows it.
    """

    pause_s: float
    codes: np.ndarray
    speed: float = 1.0
    text: str = ""
    path: np.ndarray | None = None
    pitch: float = 0.0


class SegmentSource(Protocol):
    """Where the language model's thread gets the segments of one request."""

    spoken: list[SpokenSegment]  # the segments done so far
    closing_pause_s: float  # silence after the last of them

    @property
    def has_next(self) -> bool:
        """Whether another segment follows."""

    def next(self) -> SegmentPrompt:
        """The next segment to generate; only while `has_next`."""

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        """The segment given out last became `codes` [K, T], drawn at the symbols `path` [T] where those are known."""


@dataclass(slots=True)
class Session:
    """Frames flow from the language model's thread through `frames`; either side can end it."""

    source: SegmentSource
    deadline_s: float  # on the monotonic clock
    use_prefix_cache: bool = True
    client: str = ""  # whose it is, for taking turns
    begin_by_s: float = math.inf  # on the monotonic clock: whoever has waited until then is refused
    n_usual_frames: int = 0  # what it will take, as a guess
    timeline: Trace = field(default_factory=Trace)
    seed: int = 0
    is_recalled: bool = False  # nothing was generated: all frames were known
    ignored: tuple[str, ...] = ()  # what was asked for and is not done
    request_id: str = field(default_factory=REQUEST_ID.get)  # of the lines in the log that are about it
    frames: BoundedStream[FrameItem] = field(default_factory=lambda: BoundedStream(FRAME_CAPACITY))
    finish_reason: FinishReason = "stop"
    n_retries: int = 0  # segments that ran away and were started over
    n_frames: int = 0
    n_prompt_columns: int = 0
    n_prefix_hits: int = 0
    queue_s: float = 0.0
    semantic_s: float = 0.0
    waiting_since_s: float = 0.0
    admitted_s: float = 0.0

    @property
    def n_frames_left(self) -> int:
        """A guess, never less than one."""
        return max(1, self.n_usual_frames - self.n_frames)

    @property
    def wait_limit_s(self) -> float:
        """Until when it may wait, on the monotonic clock. Between two segments it has begun already."""
        return self.deadline_s if self.admitted_s else min(self.deadline_s, self.begin_by_s)

    def cancel(self) -> None:
        """Stop: the row is free within a frame."""
        self.frames.cancel()

    def fail(self, error: PhonogramError) -> None:
        self.frames.fail(error)

    def check(self) -> None:
        """Raise what ended this session from outside, if anything did."""
        if self.frames.error is not None:
            raise Cancelled("The request has already ended.") from self.frames.error
        if time.monotonic() > self.deadline_s:
            raise TimedOut(
                f"Speaking took longer than the {self.deadline_s - self.timeline.started_s:.1f} s this request has, by "
                "timeout_s or by the measured speed. Send a shorter text, or try when the server is less busy."
            )
        if time.monotonic() > self.wait_limit_s:
            raise Busy(
                f"No place came free within {self.begin_by_s - self.timeline.started_s:.1f} s (timeout_s, MAX_WAIT_S). "
                "Try again later.",
                retry_after_s=max(1.0, self.begin_by_s - self.timeline.started_s),
            )
