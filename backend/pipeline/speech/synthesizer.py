"""One checkpoint at work: its two threads, its three stages and its caches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import EngineFailure, PhonogramError, UnknownVoice
from backend.monitor.statistics import RunningSummary, RunningSummarySnapshot, RunningTotal
from backend.pipeline.codec.tasks import DecodeTask, EncodeTask
from backend.pipeline.speech.adapted_references import AdaptedReferences
from backend.pipeline.speech.decode_stage import DecodeStage
from backend.pipeline.speech.reference_stage import BASE_S, PATIENCE, ReferenceStage
from backend.pipeline.speech.semantic_stage import SemanticStage
from backend.pipeline.speech.stream import SpeechMetrics, SpeechStream
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.codec_worker import CodecWorker
from backend.runtime.lm_worker import BatchSnapshot, LMWorker
from backend.runtime.lru_cache import BoundedCache, CacheCounts
from backend.runtime.request import SpeechRequest
from backend.runtime.throughput import ThroughputEstimate
from backend.runtime.trace import Trace
from backend.runtime.worker import PLAIN_THREAD, ThreadSetup
from backend.text.phonemes.word_spans import word_spans
from backend.text.tokenizers.phoneme import PhonemeTokenizer

if TYPE_CHECKING:
    import torch

    from backend.codec.base import CausalCodec
    from backend.lm.base import TokenLM
    from backend.lm.speaker_encoder import SpeakerEncoder
    from backend.pipeline.speech.voice_adaptation import VoiceAdapter
    from backend.text.phonemes.lexicon import Lexicon
    from backend.text.tokenizers.base import Tokenizer

WARM_UP_TEXT = "One, two, three, four, five."
WARM_UP_FRAMES = 24


@dataclass(frozen=True, slots=True)
class SynthesizerLimits:
    """How much a speaker may do at a time and keep."""

    n_rows: int
    max_waiting: int
    max_frames: int
    cache_entries: int
    chunk_samples: int
    max_wait_s: float = math.inf  # for a place to speak


@dataclass(frozen=True, slots=True)
class SynthesizerCounts:
    """All requests since the start, and how the recent ones went."""

    done: int
    failed: int
    refused: int
    audio_s: float
    first_audio_s: RunningSummarySnapshot
    total_s: RunningSummarySnapshot
    rtf: RunningSummarySnapshot
    frames_per_s: RunningSummarySnapshot
    queue_s: RunningSummarySnapshot
    reference_s: RunningSummarySnapshot
    semantic_s: RunningSummarySnapshot
    synthesis_s: RunningSummarySnapshot


class Synthesizer:
    """Speaks, encodes and decodes with one language model and one codec. Start it before use, close it after."""

    def __init__(
        self, lm: TokenLM, codec: CausalCodec, tokenizer: Tokenizer, *, model_key: str, codes_hash: str,
        limits: SynthesizerLimits, encoder: SpeakerEncoder | None = None, side_sizes: tuple[int, ...] = (),
        device: torch.device | str = "cpu", lm_thread: ThreadSetup = PLAIN_THREAD,
        codec_thread: ThreadSetup = PLAIN_THREAD, lexicon: Lexicon | None = None, watermark_key: str | None = None,
        fitter: VoiceAdapter | None = None,
    ):  # fmt: skip
        self.limits, self.pace, self.device = limits, ThroughputEstimate(), device
        self.voice_named: Callable[[str], VoiceConditioning] = _no_voices
        self.codec_worker = CodecWorker(codec, codec_thread)
        self.lm_worker = LMWorker(
            lm, n_rows=limits.n_rows, max_waiting=limits.max_waiting,
            max_frames=min(limits.max_frames, lm.spec.max_frames), cache_entries=limits.cache_entries,
            pace=self.pace, setup=lm_thread,
        )  # fmt: skip
        self.reference = ReferenceStage(
            self.codec_worker, self.lm_worker, codes_hash, limits.cache_entries, encoder,
            None if fitter is None else AdaptedReferences(fitter, device),
        )  # fmt: skip
        self.semantic = SemanticStage(
            self.lm_worker, tokenizer, model_key=model_key, frame_rate_hz=codec.spec.frame_rate_hz,
            cache_entries=limits.cache_entries, voice_named=lambda name: self.voice_named(name), side_sizes=side_sizes,
            device=device, lexicon=lexicon, max_wait_s=limits.max_wait_s,
            has_pitch_control=codec.has_pitch_control,
        )  # fmt: skip
        self._spans_of = partial(word_spans, tokenizer) if isinstance(tokenizer, PhonemeTokenizer) else None
        self.synthesis = DecodeStage(self.codec_worker, limits.chunk_samples, watermark_key)
        self._done, self._failed, self._refused, self._audio_s = (
            RunningTotal(),
            RunningTotal(),
            RunningTotal(),
            RunningTotal(),
        )
        self._tallies = {name: RunningSummary() for name in _TALLIED}

    def start(self) -> None:
        """Start the threads and speak once: what is slow the first time is over then, and the pace is known."""
        self.codec_worker.start()
        self.lm_worker.start()
        request = SpeechRequest(
            text=WARM_UP_TEXT, seed=0, max_new_tokens=WARM_UP_FRAMES, use_memory_cache=False, latency="low"
        )
        try:
            self.stream(request, VoiceConditioning()).collect()
        except PhonogramError:
            self.close()
            raise
        self._tallies = {name: RunningSummary() for name in _TALLIED}
        self._done, self._audio_s = RunningTotal(), RunningTotal()

    def close(self) -> None:
        """End the threads; whoever still waits is told."""
        self.lm_worker.close()
        self.codec_worker.close()

    def stream(
        self, request: SpeechRequest, voice: VoiceConditioning | None, on_end: Callable[[], None] = lambda: None
    ) -> SpeechStream:
        """What `begin` gives, once its first piece exists."""
        stream = self.begin(request, voice, on_end)
        stream.first()
        return stream

    def begin(
        self, request: SpeechRequest, voice: VoiceConditioning | None, on_end: Callable[[], None] = lambda: None,
        client: str = "",
    ) -> SpeechStream:  # fmt: skip
        """Speech that has its place in the queue. `voice` None: that of the request's own clips; `client`: whose it is.

        `on_end` is called once, when the stream ends in any way. Raises `Busy` and whatever can be seen to be wrong
        with the request before it is spoken.
        """

        def ended(metrics: SpeechMetrics | None) -> None:
            self._count(metrics)
            on_end()

        timeline = Trace()
        try:
            with timeline.span(self.reference.name):
                spoken = self.reference.run(request, voice, timeline)
            session = self.semantic.run(request, spoken, timeline, client)
            synthesis = self.synthesis.run(request, session, timeline)
        except PhonogramError:
            self._refused.add()
            on_end()
            raise
        return SpeechStream(
            session, synthesis, ignored=(*spoken.ignored, *session.ignored),
            reference_hits=spoken.cache_hits, on_end=ended, spans_of=self._spans_of,
        )  # fmt: skip

    def encode(self, waveform: Waveform) -> Codes:
        """Codes [1, K, T] of a sound, enough of them that decoding returns all of it."""
        task = EncodeTask(waveform, self.codec_worker.codec.spec, with_lag=True)
        return self.codec_worker.wait_for(task, task.future, BASE_S + PATIENCE * waveform.duration_s)

    def decode(self, codes: Codes) -> Waveform:
        """The sound of codes [1, K, T]."""
        spec = self.codec_worker.codec.spec
        task = DecodeTask(codes, spec)
        return self.codec_worker.wait_for(task, task.future, BASE_S + PATIENCE * codes.n_frames / spec.frame_rate_hz)

    def codes_of_reference(self, audio: bytes) -> tuple[Waveform, np.ndarray]:
        """A clip's sound and codes [K, T], not remembered."""
        waveform = self.reference.read(audio)
        return waveform, self.reference.codes_of(waveform)

    @property
    def batch(self) -> BatchSnapshot:
        return self.lm_worker.snapshot

    @property
    def caches(self) -> dict[str, CacheCounts]:
        return {name: cache.counts for name, cache in self._caches.items()}

    @property
    def _caches(self) -> dict[str, BoundedCache[Any]]:
        caches: dict[str, BoundedCache[Any]] = {
            "references": self.reference.cache, "codes": self.semantic.cache, "prefixes": self.lm_worker.prefixes,
        }  # fmt: skip
        return caches if self.reference.fitted is None else {**caches, "voices": self.reference.fitted.cache}

    def clear_caches(self) -> dict[str, int]:
        """Forget everything kept for reuse; returns how many entries each cache had."""
        return {name: cache.clear() for name, cache in self._caches.items()}

    @property
    def counts(self) -> SynthesizerCounts:
        tallies = {name: tally.snapshot for name, tally in self._tallies.items()}
        return SynthesizerCounts(
            done=int(self._done.value), failed=int(self._failed.value), refused=int(self._refused.value),
            audio_s=self._audio_s.value, **tallies,
        )  # fmt: skip

    def require_alive(self) -> None:
        """Raise `EngineFailure` if a thread has ended: waiting for it would be for ever."""
        for worker in (self.lm_worker.worker, self.codec_worker.worker):
            if not worker.is_alive:
                raise EngineFailure(f"The {worker.name} thread has ended. Restart the server.")

    def _count(self, metrics: SpeechMetrics | None) -> None:
        if metrics is None:
            self._failed.add()
            return
        self._done.add()
        self._audio_s.add(metrics.audio_s)
        for name, tally in self._tallies.items():
            tally.add(getattr(metrics, name))


def _no_voices(name: str) -> VoiceConditioning:
    raise UnknownVoice(f"There is no voice '{name}'. List the voices to see what there is.")


_TALLIED = (
    "first_audio_s", "total_s", "rtf", "frames_per_s", "queue_s", "reference_s", "semantic_s", "synthesis_s"
)  # fmt: skip
