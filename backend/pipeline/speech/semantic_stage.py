"""Semantic stage: generates frames of codes from text, one segment at a time."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from backend.audio.time_stretch import MAX_SPEED, MIN_SPEED
from backend.errors import TimedOut
from backend.lm.base import SamplerState
from backend.lm.runaway import FinishReason, RunawayLimits, SpeechLengthModel, worse
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.lm.text_pointer import pointed_prompt
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.lm_worker import LMWorker
from backend.runtime.lru_cache import BoundedCache, content_key
from backend.runtime.request import SpeechRequest, segment_seed
from backend.runtime.session import Frame, SegmentPrompt, SegmentStart, Session, SpokenSegment
from backend.runtime.throughput import frame_budget, usual_frames
from backend.runtime.trace import Trace
from backend.text.markup.speech_script import MAX_PITCH, Script, SpokenText
from backend.text.prepare import prepare_text
from backend.text.prompts.conversation import start_conversation

if TYPE_CHECKING:
    from backend.text.phonemes.lexicon import Lexicon
    from backend.text.prompts.conversation import Conversation
    from backend.text.tokenizers.base import Tokenizer

CACHE_BYTES = 64 * 2**20
CHUNK_BYTES = 200
SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


class GeneratedCodes(NamedTuple):
    """The generated segments of one request, as cached."""

    segments: tuple[SpokenSegment, ...]
    finish_reason: FinishReason
    closing_pause_s: float

    @property
    def size_bytes(self) -> int:
        return sum(segment.codes.nbytes for segment in self.segments)


class VoiceSpan(NamedTuple):
    """Text spoken by one voice without a break, after `pause_s` of silence."""

    text: str
    voice: VoiceConditioning
    pause_s: float
    speed: float
    pitch: float


class SpeechSegment(NamedTuple):
    """Segment number `place` of a conversation, after `pause_s` of silence."""

    conversation: Conversation
    place: int
    voice: VoiceConditioning
    pause_s: float
    speed: float
    pitch: float

    @property
    def text(self) -> str:
        return self.conversation.segments[self.place].text


@dataclass(slots=True)
class SegmentGenerator:
    """Supplies the segments of one request to the language model thread; `spoken` collects the results."""

    segments: list[SpeechSegment]
    options: SamplingOptions
    seed: int
    max_frames: Callable[[str], int]
    frame_rate_hz: float
    retries: int  # of a runaway segment
    side_sizes: tuple[int, ...]  # for models with a text pointer
    device: torch.device | str
    on_end: Callable[[GeneratedCodes], None]
    closing_pause_s: float = 0.0
    spoken: list[SpokenSegment] = field(default_factory=list)
    _finish_reason: FinishReason = "stop"
    _length_models: dict[str, SpeechLengthModel] = field(default_factory=dict)  # by voice

    @property
    def has_next(self) -> bool:
        return len(self.spoken) < len(self.segments)

    def next(self) -> SegmentPrompt:
        number = len(self.spoken)
        segment = self.segments[number]
        conversation = segment.conversation
        tokens = torch.from_numpy(conversation.prompt(segment.place)).to(self.device)
        sampler = SamplerState(
            self.options, seed=segment_seed(self.seed, number), frame_sampler=segment.voice.frame_sampler
        )
        if self.side_sizes:
            symbols = conversation.opened(segment.place)[0]
            prompt, sampler.pointer = pointed_prompt(tokens, symbols, self.side_sizes, segment.voice.conditioning)
        else:
            prompt = Prompt(tokens, segment.voice.conditioning)
        limits = RunawayLimits(
            self.frame_rate_hz, self._length_model(segment.voice).longest(segment.text), self.retries
        )
        return SegmentPrompt(
            prompt, sampler, self.max_frames(segment.text), conversation.n_shared, segment.pause_s, segment.speed, limits,
            segment.pitch,
        )  # fmt: skip

    def _length_model(self, voice: VoiceConditioning) -> SpeechLengthModel:
        """Return the length model of a voice.

        It learns from the voice's clips and this request only, so a seed gives the same codes whatever ran before.
        """
        key = voice.key
        if key not in self._length_models:
            self._length_models[key] = SpeechLengthModel(self.frame_rate_hz)
            for reference in voice.references:
                self._length_models[key].learn(reference.text, reference.codes.shape[1])
        return self._length_models[key]

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        segment = self.segments[len(self.spoken)]
        segment.conversation.add(segment.place, codes)
        self.spoken.append(SpokenSegment(segment.pause_s, codes, segment.speed, segment.text, path, segment.pitch))
        if finish_reason in ("stop", "pointer_end"):
            self._length_model(segment.voice).learn(segment.text, codes.shape[1])
        self._finish_reason = worse(self._finish_reason, finish_reason)
        if not self.has_next:
            self.on_end(GeneratedCodes(tuple(self.spoken), self._finish_reason, self.closing_pause_s))


@dataclass(slots=True)
class CachedGeneration:
    """The source of a request whose codes were found in the cache."""

    spoken: list[SpokenSegment]
    closing_pause_s: float = 0.0
    has_next: bool = False

    def next(self) -> SegmentPrompt:
        raise AssertionError("a cached request has nothing to generate")

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        raise AssertionError("a cached request has nothing to generate")


class SemanticStage:
    """Submits text to the language model thread, unless the codes for the same text and seed are cached."""

    name = "semantic"

    def __init__(
        self, lm_worker: LMWorker, tokenizer: Tokenizer, *, model_key: str, frame_rate_hz: float, cache_entries: int,
        find_voice: Callable[[str], VoiceConditioning], side_sizes: tuple[int, ...] = (),
        device: torch.device | str = "cpu", lexicon: Lexicon | None = None, max_wait_s: float = math.inf,
        has_pitch_control: bool = False,
    ):  # fmt: skip
        """`find_voice` resolves a voice name in markup; it may raise `UnknownVoice`."""
        self._find_voice, self._has_pitch_control = find_voice, has_pitch_control
        self._side_sizes, self._lexicon, self._max_wait_s = side_sizes, lexicon, max_wait_s
        self._worker, self._tokenizer, self._device = lm_worker, tokenizer, device
        self._model_key, self._frame_rate_hz = model_key, frame_rate_hz
        self.cache: BoundedCache[GeneratedCodes] = BoundedCache(
            cache_entries, CACHE_BYTES, lambda generated: generated.size_bytes
        )

    def run(
        self, request: SpeechRequest, voice: VoiceConditioning, timeline: Trace, client: str = ""
    ) -> Session:  # fmt: skip
        """Queue the request and return its session. Raises `Busy`, `TimedOut` and text errors."""
        spec = self._worker.lm.spec
        script = prepare_text(
            request.text, spec.family, markup=request.markup, normalize=request.normalize, lexicon=self._lexicon
        )
        ignored = (
            *script.ignored, *unsupported_speeds(script, request.speed),
            *unsupported_pitches(script, request.pitch, self._has_pitch_control),
        )  # fmt: skip
        spans, closing_pause_s = self._voice_spans(script, voice)
        seed = secrets.randbits(32) if request.seed is None else request.seed
        options = sampling_options(SamplingOptions.for_family(spec.family), request)
        # A random seed never repeats, so only requests with an explicit seed are cached.
        key = None
        if request.seed is not None and request.use_memory_cache:
            key = self._key(request, spans, closing_pause_s, options)
            cached = self.cache.get(key)
            if cached is not None:
                return cached_session(cached, seed, timeline, ignored)

        def max_frames(text: str) -> int:
            return request.max_new_tokens or frame_budget(text, self._frame_rate_hz)

        def keep(generated: GeneratedCodes) -> None:
            if key is not None:
                self.cache.put(key, generated)

        segments = self._segments(spans, request.chunk_length or CHUNK_BYTES)
        source = SegmentGenerator(
            segments, options, seed, max_frames, self._frame_rate_hz, int(request.buffers_segments),
            self._side_sizes, self._device, keep, closing_pause_s,
        )  # fmt: skip
        frames = [min(usual_frames(s.text, self._frame_rate_hz), max_frames(s.text)) for s in segments]
        # Time spent on the reference counts against the request's timeout.
        now_s, longest_s = time.monotonic(), (request.timeout_s or math.inf) - timeline.elapsed_s
        if longest_s <= 0:
            raise TimedOut(
                f"Encoding the reference took the whole timeout of {request.timeout_s:g} s. Raise timeout_s."
            )
        session = Session(
            source, now_s + min(self._timeout_s(sum(frames), client), longest_s), request.use_memory_cache, client,
            now_s + min(longest_s, self._max_wait_s), sum(frames), timeline, seed, ignored=ignored,
        )  # fmt: skip
        self._worker.submit(session)
        return session

    def _voice_spans(self, script: Script, default: VoiceConditioning) -> tuple[list[VoiceSpan], float]:
        """Split a script by voice; also returns the silence at the end, in seconds."""
        spans, pause_s = [], 0.0
        for piece in script.pieces:
            if isinstance(piece, SpokenText):
                voice = default if piece.voice is None else self._find_voice(piece.voice)
                spans.append(VoiceSpan(piece.text, voice, pause_s, piece.speed, piece.pitch))
                pause_s = 0.0
            else:
                pause_s += piece.duration_s
        return spans, pause_s

    def _segments(self, spans: list[VoiceSpan], chunk_bytes: int) -> list[SpeechSegment]:
        spec, segments = self._worker.lm.spec, []
        for span in spans:
            conversation = start_conversation(
                spec.family, self._tokenizer, spec.n_codebooks, span.text, span.voice.references or (),
                chunk_length=chunk_bytes, max_seq_len=self._worker.max_frames,
            )  # fmt: skip
            for place in range(len(conversation.segments)):
                pause_s = 0.0 if place else span.pause_s
                segments.append(SpeechSegment(conversation, place, span.voice, pause_s, span.speed, span.pitch))
        return segments

    def _timeout_s(self, n_frames: int, client: str) -> float:
        """Queue wait plus several times the expected generation time, in seconds."""
        return self._worker.scheduler.wait_s(client) + self._worker.throughput.timeout_s(n_frames)

    def _key(
        self, request: SpeechRequest, spans: list[VoiceSpan], closing_pause_s: float, options: SamplingOptions
    ) -> str:
        parts = [part for span in spans for part in (span.text, span.voice.key, span.pause_s, span.speed, span.pitch)]
        return content_key(
            self._model_key, len(parts), *parts, closing_pause_s, request.seed, repr(options), request.max_new_tokens,
            request.chunk_length, request.buffers_segments,
        )  # fmt: skip


def unsupported_speeds(script: Script, speed: float) -> tuple[str, ...]:
    """Describe the speeds (markup times request) that are out of range."""
    speeds = {speed * piece.speed for piece in script.pieces if isinstance(piece, SpokenText)}
    out = sorted(one for one in speeds if not MIN_SPEED <= one <= MAX_SPEED)
    return tuple(f"speed {one:g} (text times request): the range is {MIN_SPEED:g} to {MAX_SPEED:g}" for one in out)


def unsupported_pitches(script: Script, pitch: float, has_control: bool) -> tuple[str, ...]:
    """Describe the pitches (markup plus request) that are out of range or that the codec cannot apply."""
    pitches = {pitch + piece.pitch for piece in script.pieces if isinstance(piece, SpokenText)}
    if not has_control:
        return ("pitch: the codec of this checkpoint has no pitch control",) if pitches != {0.0} else ()
    out = sorted(one for one in pitches if abs(one) > MAX_PITCH)
    return tuple(f"pitch {one:g} (text plus request): the range is -{MAX_PITCH:g} to {MAX_PITCH:g}" for one in out)


def sampling_options(defaults: SamplingOptions, request: SpeechRequest) -> SamplingOptions:
    """Return the checkpoint's default options, overridden by those of the request."""
    given = {name: getattr(request, name) for name in SAMPLING_FIELDS if getattr(request, name) is not None}
    return replace(defaults, **given)


def cached_session(cached: GeneratedCodes, seed: int, timeline: Trace, ignored: tuple[str, ...]) -> Session:
    """Return a finished session that holds all frames of a cached request."""
    session = Session(
        CachedGeneration(list(cached.segments)), math.inf, timeline=timeline, seed=seed, is_cached=True, ignored=ignored
    )
    session.finish_reason = cached.finish_reason
    for segment in cached.segments:
        session.frames.put(SegmentStart(segment.pause_s, segment.speed, pitch=segment.pitch))
        for codes in segment.codes.T:
            session.frames.put(Frame(codes))
    if cached.closing_pause_s:
        session.frames.put(SegmentStart(cached.closing_pause_s))
    session.n_frames = sum(segment.codes.shape[1] for segment in cached.segments)
    session.frames.finish()
    return session
