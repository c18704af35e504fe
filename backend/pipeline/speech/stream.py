"""Speech output: a stream of audio chunks or the whole waveform, with metrics."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import EngineFailure, PhonogramError
from backend.lm.runaway import FinishReason
from backend.pipeline.speech.decode_stage import SpeechDecodeTask
from backend.pipeline.speech.timestamps import SpansOf, TimedSentence, timed_sentences
from backend.runtime.session import Session
from backend.runtime.trace import Span

# If no chunk arrives for this long after the request's deadline, a thread is stuck.
GRACE_S = 60.0
# Cached speech has no deadline, and a lock cannot wait for infinity.
LONGEST_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class SpeechMetrics:
    """Metrics of one request; final after the last chunk.

    `rtf` is the real-time factor, seconds of work per second of audio. `frames_per_s` is measured over the time of
    token generation. `cache_hits` names the caches that were hit: reference, prefix, codes. `retries` counts runaway
    segments that were regenerated.
    """

    seed: int
    total_s: float
    first_audio_s: float
    audio_s: float
    rtf: float
    frames: int
    frames_per_s: float
    queue_s: float
    reference_s: float
    semantic_s: float
    synthesis_s: float
    cache_hits: tuple[str, ...]
    finish_reason: FinishReason
    retries: int


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthesized speech and the codes [1, K, T] it was decoded from."""

    waveform: Waveform
    codes: Codes
    metrics: SpeechMetrics
    finish_reason: FinishReason
    ignored: tuple[str, ...]


class SpeechStream:
    """Audio chunks of a queued or running request, in order.

    Iterate once. Errors are raised by `first` and by the iteration. A stream that is dropped unfinished cancels its
    request. `on_end` is called once: with the metrics after the last chunk, with None after an error or cancellation.
    """

    def __init__(
        self, session: Session, synthesis: SpeechDecodeTask, *, ignored: tuple[str, ...], reference_hits: int,
        on_end: Callable[[SpeechMetrics | None], None], spans_of: SpansOf | None = None,
    ):  # fmt: skip
        self.sample_rate_hz = synthesis.spec.sample_rate_hz
        self.ignored = ignored
        self._session, self._synthesis = session, synthesis
        self._reference_hits = reference_hits
        self._on_end, self._spans_of = on_end, spans_of
        self._total_s: float | None = None
        self._abandoned = weakref.finalize(self, _abandon, synthesis, on_end)
        self._first: Waveform | None = None
        self._has_begun = False

    def __iter__(self) -> Iterator[Waveform]:
        while (piece := self._take()) is not None:
            yield piece

    def first(self) -> Waveform:
        """Wait for the first chunk and return it; iteration yields it again. Raises request errors."""
        if not self._has_begun:
            self._has_begun = True
            self._first = self._next(is_first=True)
        if self._first is None:
            raise EngineFailure("The first chunk of this stream was consumed already. Call `first` before iterating.")
        return self._first

    def cancel(self) -> None:
        """Cancel the request: its batch row is free within a frame, and a queued request never starts.

        Thread-safe and idempotent. A pending read raises `Cancelled`.
        """
        self._synthesis.cancel()

    @property
    def finish_reason(self) -> FinishReason:
        """`length` if a limit cut a segment short, `repetition` if it looped. Final after the last chunk."""
        return self._session.finish_reason

    @property
    def is_watermarked(self) -> bool:
        """Whether the audio carries the configured watermark."""
        return self._synthesis.is_watermarked

    @property
    def timeline(self) -> tuple[Span, ...]:
        return self._session.timeline.spans

    @property
    def sentences(self) -> tuple[TimedSentence, ...]:
        """Sentence timestamps, complete after the last chunk; word timestamps need a model with a text pointer."""
        spoken = self._session.source.spoken
        return timed_sentences(spoken, self._synthesis.segments, self.sample_rate_hz, self._spans_of)

    @property
    def metrics(self) -> SpeechMetrics:
        session, timeline = self._session, self._session.timeline
        total_s = timeline.elapsed_s if self._total_s is None else self._total_s
        audio_s = self._synthesis.n_samples / self.sample_rate_hz
        hits = {"reference": self._reference_hits, "prefix": session.n_prefix_hits, "codes": session.is_cached}
        return SpeechMetrics(
            seed=session.seed, total_s=total_s, first_audio_s=timeline.total_s("first audio"), audio_s=audio_s,
            rtf=total_s / audio_s if audio_s else 0.0, frames=session.n_frames,
            frames_per_s=session.n_frames / session.semantic_s if session.semantic_s else 0.0,
            queue_s=session.queue_s, reference_s=timeline.total_s("reference"), semantic_s=session.semantic_s,
            synthesis_s=timeline.total_s("synthesis"), cache_hits=tuple(name for name, n in hits.items() if n),
            finish_reason=session.finish_reason, retries=session.n_retries,
        )  # fmt: skip

    def collect(self) -> Speech:
        """Read the remaining chunks and return them as one `Speech`."""
        pieces = [piece.samples for piece in self]
        spoken = [segment.codes for segment in self._session.source.spoken]
        codes = torch.from_numpy(np.concatenate(spoken, axis=1))[None]
        waveform = Waveform(np.concatenate(pieces, axis=1), self.sample_rate_hz)
        return Speech(waveform, Codes(codes, self._synthesis.spec.name), self.metrics, self.finish_reason, self.ignored)

    def _take(self) -> Waveform | None:
        if not self._has_begun:
            self.first()
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._next()

    def _next(self, is_first: bool = False) -> Waveform | None:
        timeout_s = max(0.0, min(self._session.deadline_s - time.monotonic(), LONGEST_S)) + GRACE_S
        try:
            piece = self._synthesis.pieces.get(timeout_s)
            if piece is None and is_first:
                raise EngineFailure("The model generated no audio. Change the text, the seed or the voice.")
        except PhonogramError:
            self._end(is_whole=False)
            raise
        if piece is None:
            self._end(is_whole=True)
        return piece

    def _end(self, is_whole: bool) -> None:
        if self._total_s is None:
            self._total_s = self._session.timeline.elapsed_s
            self._abandoned.detach()
            self._synthesis.cancel()
            self._on_end(self.metrics if is_whole else None)


def _abandon(synthesis: SpeechDecodeTask, on_end: Callable[[SpeechMetrics | None], None]) -> None:
    synthesis.cancel()
    on_end(None)
