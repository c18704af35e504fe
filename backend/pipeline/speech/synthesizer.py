"""`Synthesizer`: the two threads, three stages and caches that serve one checkpoint."""

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
from backend.pipeline.speech.reference_stage import BASE_S, TIMEOUT_RTF, ReferenceStage
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
    """Concurrency, queue and cache limits of a synthesizer."""

    n_rows: int
    max_waiting: int
    max_frames: int
    cache_entries: int
    chunk_samples: int
    max_wait_s: float = math.inf  # longest time in the queue


@dataclass(frozen=True, slots=True)
class SynthesizerCounts:
    """Request counts since the start and summaries of recent requests."""

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
    """Synthesizes, encodes and decodes with one language model and one codec. Call `start` before use, then `close`."""

    def __init__(
        self, lm: TokenLM, codec: CausalCodec, tokenizer: Tokenizer, *, model_key: str, codes_hash: str,
        limits: SynthesizerLimits, encoder: SpeakerEncoder | None = None, side_sizes: tuple[int, ...] = (),
        device: torch.device | str = "cpu", lm_thread: ThreadSetup = PLAIN_THREAD,
        codec_thread: ThreadSetup = PLAIN_THREAD, lexicon: Lexicon | None = None, watermark_key: str | None = None,
        voice_adapter: VoiceAdapter | None = None,
    ):  # fmt: skip
        self.limits, self.throughput, self.device = limits, ThroughputEstimate(), device
        self.find_voice: Callable[[str], VoiceConditioning] = _no_voices
        self.codec_worker = CodecWorker(codec, codec_thread)
        self.lm_worker = LMWorker(
            lm, n_rows=limits.n_rows, max_waiting=limits.max_waiting,
            max_frames=min(limits.max_frames, lm.spec.max_frames), cache_entries=limits.cache_entries,
            throughput=self.throughput, setup=lm_thread,
        )  # fmt: skip
        self.reference = ReferenceStage(
            self.codec_worker, self.lm_worker, codes_hash, limits.cache_entries, encoder,
            None if voice_adapter is None else AdaptedReferences(voice_adapter, device),
        )  # fmt: skip
        self.semantic = SemanticStage(
            self.lm_worker, tokenizer, model_key=model_key, frame_rate_hz=codec.spec.frame_rate_hz,
            cache_entries=limits.cache_entries, find_voice=lambda name: self.find_voice(name), side_sizes=side_sizes,
            device=device, lexicon=lexicon, max_wait_s=limits.max_wait_s,
            has_pitch_control=codec.has_pitch_control,
        )  # fmt: skip
        self._spans_of = partial(word_spans, tokenizer) if isinstance(tokenizer, PhonemeTokenizer) else None
        self.synthesis = DecodeStage(self.codec_worker, limits.chunk_samples, watermark_key)
        self._done, self._failed, self._refused = RunningTotal(), RunningTotal(), RunningTotal()
        self._audio_s = RunningTotal()
        self._summaries = {name: RunningSummary() for name in _SUMMARIZED}

    def start(self) -> None:
        """Start the threads and run a warm-up request, which also measures the throughput."""
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
        self._summaries = {name: RunningSummary() for name in _SUMMARIZED}
        self._done, self._audio_s = RunningTotal(), RunningTotal()

    def close(self) -> None:
        """Stop the threads and fail pending requests."""
        self.lm_worker.close()
        self.codec_worker.close()

    def stream(
        self, request: SpeechRequest, voice: VoiceConditioning | None, on_end: Callable[[], None] = lambda: None
    ) -> SpeechStream:
        """Call `begin` and wait for the first chunk."""
        stream = self.begin(request, voice, on_end)
        stream.first()
        return stream

    def begin(
        self, request: SpeechRequest, voice: VoiceConditioning | None, on_end: Callable[[], None] = lambda: None,
        client: str = "",
    ) -> SpeechStream:  # fmt: skip
        """Queue a request for `client` and return its stream. `voice` None uses the request's reference clips.

        `on_end` is called once, when the stream ends in any way. Raises `Busy` and errors found before generation.
        """

        def ended(metrics: SpeechMetrics | None) -> None:
            self._count(metrics)
            on_end()

        timeline = Trace()
        try:
            with timeline.span(self.reference.name):
                conditioning = self.reference.run(request, voice, timeline)
            session = self.semantic.run(request, conditioning, timeline, client)
            synthesis = self.synthesis.run(request, session, timeline)
        except PhonogramError:
            self._refused.add()
            on_end()
            raise
        return SpeechStream(
            session, synthesis, ignored=(*conditioning.ignored, *session.ignored),
            reference_hits=conditioning.cache_hits, on_end=ended, spans_of=self._spans_of,
        )  # fmt: skip

    def encode(self, waveform: Waveform) -> Codes:
        """Encode audio to codes [1, K, T], padded so that decoding returns every sample."""
        task = EncodeTask(waveform, self.codec_worker.codec.spec, with_lag=True)
        return self.codec_worker.wait_for(task, task.future, BASE_S + TIMEOUT_RTF * waveform.duration_s)

    def decode(self, codes: Codes) -> Waveform:
        """Decode codes [1, K, T] to audio."""
        spec = self.codec_worker.codec.spec
        task = DecodeTask(codes, spec)
        return self.codec_worker.wait_for(task, task.future, BASE_S + TIMEOUT_RTF * codes.n_frames / spec.frame_rate_hz)

    def codes_of_reference(self, audio: bytes) -> tuple[Waveform, np.ndarray]:
        """Return a clip's audio and codes [K, T] without caching them."""
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
        return caches if self.reference.adapted is None else {**caches, "voices": self.reference.adapted.cache}

    def clear_caches(self) -> dict[str, int]:
        """Clear all caches and return the number of entries each one held."""
        return {name: cache.clear() for name, cache in self._caches.items()}

    @property
    def counts(self) -> SynthesizerCounts:
        summaries = {name: summary.snapshot for name, summary in self._summaries.items()}
        return SynthesizerCounts(
            done=int(self._done.value), failed=int(self._failed.value), refused=int(self._refused.value),
            audio_s=self._audio_s.value, **summaries,
        )  # fmt: skip

    def require_alive(self) -> None:
        """Raise `EngineFailure` if a thread has ended, since waiting for it would never return."""
        for worker in (self.lm_worker.worker, self.codec_worker.worker):
            if not worker.is_alive:
                raise EngineFailure(f"The {worker.name} thread has ended. Restart the server.")

    def _count(self, metrics: SpeechMetrics | None) -> None:
        if metrics is None:
            self._failed.add()
            return
        self._done.add()
        self._audio_s.add(metrics.audio_s)
        for name, summary in self._summaries.items():
            summary.add(getattr(metrics, name))


def _no_voices(name: str) -> VoiceConditioning:
    raise UnknownVoice(f"There is no voice '{name}'. List the voices to see what there is.")


_SUMMARIZED = (
    "first_audio_s", "total_s", "rtf", "frames_per_s", "queue_s", "reference_s", "semantic_s", "synthesis_s"
)  # fmt: skip
