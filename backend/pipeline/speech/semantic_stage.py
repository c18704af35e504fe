"""Stage two: text in a voice to frames of codes, segment after segment."""

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
from backend.text.markup.speech_script import MAX_PITCH, Say, Script
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
    """All a request became, kept for the next one like it."""

    segments: tuple[SpokenSegment, ...]
    finish_reason: FinishReason
    closing_pause_s: float

    @property
    def size_bytes(self) -> int:
        return sum(segment.codes.nbytes for segment in self.segments)


class VoiceSpan(NamedTuple):
    """Words said by one voice without a break of their own, after `pause_s` of silence."""

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
    """The segments of one request, for the language model's thread; `spoken` grows as they are done."""

    segments: list[SpeechSegment]
    options: SamplingOptions
    seed: int
    max_frames: Callable[[str], int]
    frame_rate_hz: float
    retries: int  # of a segment that runs away
    side_sizes: tuple[int, ...]  # of a model with a pointer
    device: torch.device | str
    on_end: Callable[[GeneratedCodes], None]
    closing_pause_s: float = 0.0
    spoken: list[SpokenSegment] = field(default_factory=list)
    _finish_reason: FinishReason = "stop"
    _paces: dict[str, SpeechLengthModel] = field(default_factory=dict)  # by voice

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
        watch = RunawayLimits(self.frame_rate_hz, self._pace(segment.voice).longest(segment.text), self.retries)
        return SegmentPrompt(
            prompt, sampler, self.max_frames(segment.text), conversation.n_shared, segment.pause_s, segment.speed, watch,
            segment.pitch,
        )  # fmt: skip

    def _pace(self, voice: VoiceConditioning) -> SpeechLengthModel:
        """How fast this voice speaks, by its clips and what it said in this request alone: a seed means the same
        codes whatever the server did before."""
        key = voice.key
        if key not in self._paces:
            self._paces[key] = SpeechLengthModel(self.frame_rate_hz)
            for reference in voice.references:
                self._paces[key].learn(reference.text, reference.codes.shape[1])
        return self._paces[key]

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        segment = self.segments[len(self.spoken)]
        segment.conversation.add(segment.place, codes)
        self.spoken.append(SpokenSegment(segment.pause_s, codes, segment.speed, segment.text, path, segment.pitch))
        if finish_reason in ("stop", "pointer_end"):
            self._pace(segment.voice).learn(segment.text, codes.shape[1])
        self._finish_reason = worse(self._finish_reason, finish_reason)
        if not self.has_next:
            self.on_end(GeneratedCodes(tuple(self.spoken), self._finish_reason, self.closing_pause_s))


@dataclass(slots=True)
class CachedGeneration:
    """A request spoken before."""

    spoken: list[SpokenSegment]
    closing_pause_s: float = 0.0
    has_next: bool = False

    def next(self) -> SegmentPrompt:
        raise AssertionError("a request spoken before has nothing to generate")

    def done(self, codes: np.ndarray, finish_reason: FinishReason, path: np.ndarray | None) -> None:
        raise AssertionError("a request spoken before has nothing to generate")


class SemanticStage:
    """Puts a text before the language model's thread, unless the same was spoken before from the same seed."""

    name = "semantic"

    def __init__(
        self, lm_worker: LMWorker, tokenizer: Tokenizer, *, model_key: str, frame_rate_hz: float, cache_entries: int,
        voice_named: Callable[[str], VoiceConditioning], side_sizes: tuple[int, ...] = (),
        device: torch.device | str = "cpu", lexicon: Lexicon | None = None, max_wait_s: float = math.inf,
        has_pitch_control: bool = False,
    ):  # fmt: skip
        """`voice_named`: the voice that a text switches to; it may raise `UnknownVoice`."""
        self._voice_named, self._has_pitch_control = voice_named, has_pitch_control
        self._side_sizes, self._lexicon, self._max_wait_s = side_sizes, lexicon, max_wait_s
        self._worker, self._tokenizer, self._device = lm_worker, tokenizer, device
        self._model_key, self._frame_rate_hz = model_key, frame_rate_hz
        self.cache: BoundedCache[GeneratedCodes] = BoundedCache(
            cache_entries, CACHE_BYTES, lambda kept: kept.size_bytes
        )

    def run(
        self, request: SpeechRequest, given: VoiceConditioning, timeline: Trace, client: str = ""
    ) -> Session:  # fmt: skip
        """A session whose frames come as they are made. Raises `Busy`, and what is wrong with the text."""
        spec = self._worker.lm.spec
        script = prepare_text(
            request.text, spec.family, markup=request.markup, normalize=request.normalize, lexicon=self._lexicon
        )
        ignored = (
            *script.ignored, *too_fast_or_slow(script, request.speed),
            *unheard_pitches(script, request.pitch, self._has_pitch_control),
        )  # fmt: skip
        passages, closing_pause_s = self._passages(script, given)
        seed = secrets.randbits(32) if request.seed is None else request.seed
        options = sampling_options(SamplingOptions.for_family(spec.family), request)
        # Only what has a seed of its own is ever asked for again.
        key = None
        if request.seed is not None and request.use_memory_cache:
            key = self._key(request, passages, closing_pause_s, options)
            kept = self.cache.get(key)
            if kept is not None:
                return recalled(kept, seed, timeline, ignored)

        def max_frames(text: str) -> int:
            return request.max_new_tokens or frame_budget(text, self._frame_rate_hz)

        def keep(spoken: GeneratedCodes) -> None:
            if key is not None:
                self.cache.put(key, spoken)

        segments = self._segments(passages, request.chunk_length or CHUNK_BYTES)
        narration = SegmentGenerator(
            segments, options, seed, max_frames, self._frame_rate_hz, int(request.holds_segments),
            self._side_sizes, self._device, keep, closing_pause_s,
        )  # fmt: skip
        frames = [min(usual_frames(s.text, self._frame_rate_hz), max_frames(s.text)) for s in segments]
        # Of the time the caller gives, what was spent on the voice is gone.
        now_s, longest_s = time.monotonic(), (request.timeout_s or math.inf) - timeline.elapsed_s
        if longest_s <= 0:
            raise TimedOut(
                f"The voice alone took the {request.timeout_s:g} s this request has. Give it more (timeout_s)."
            )
        session = Session(
            narration, now_s + min(self._patience_s(sum(frames), client), longest_s), request.use_memory_cache, client,
            now_s + min(longest_s, self._max_wait_s), sum(frames), timeline, seed, ignored=ignored,
        )  # fmt: skip
        self._worker.submit(session)
        return session

    def _passages(self, script: Script, given: VoiceConditioning) -> tuple[list[VoiceSpan], float]:
        """What is said by whom, and the silence after it all."""
        passages, pause_s = [], 0.0
        for piece in script.pieces:
            if isinstance(piece, Say):
                voice = given if piece.voice is None else self._voice_named(piece.voice)
                passages.append(VoiceSpan(piece.text, voice, pause_s, piece.speed, piece.pitch))
                pause_s = 0.0
            else:
                pause_s += piece.duration_s
        return passages, pause_s

    def _segments(self, passages: list[VoiceSpan], chunk_bytes: int) -> list[SpeechSegment]:
        spec, segments = self._worker.lm.spec, []
        for passage in passages:
            conversation = start_conversation(
                spec.family, self._tokenizer, spec.n_codebooks, passage.text, passage.voice.references or (),
                chunk_length=chunk_bytes, max_seq_len=self._worker.max_frames,
            )  # fmt: skip
            for place in range(len(conversation.segments)):
                pause_s = 0.0 if place else passage.pause_s
                segments.append(
                    SpeechSegment(conversation, place, passage.voice, pause_s, passage.speed, passage.pitch)
                )
        return segments

    def _patience_s(self, n_frames: int, client: str) -> float:
        """As long as those who wait before it, and several times what speaking should take."""
        return self._worker.scheduler.wait_s(client) + self._worker.pace.timeout_s(n_frames)

    def _key(
        self, request: SpeechRequest, passages: list[VoiceSpan], closing_pause_s: float, options: SamplingOptions
    ) -> str:
        said = [
            part
            for passage in passages
            for part in (passage.text, passage.voice.key, passage.pause_s, passage.speed, passage.pitch)
        ]
        return content_key(
            self._model_key, len(said), *said, closing_pause_s, request.seed, repr(options), request.max_new_tokens,
            request.chunk_length, request.holds_segments,
        )  # fmt: skip


def too_fast_or_slow(script: Script, speed: float) -> tuple[str, ...]:
    """In words, which speeds of the text are out of reach together with that of the request."""
    asked = {speed * piece.speed for piece in script.pieces if isinstance(piece, Say)}
    out = sorted(one for one in asked if not MIN_SPEED <= one <= MAX_SPEED)
    return tuple(f"speed {one:g} (text times request): {MIN_SPEED:g} to {MAX_SPEED:g} are possible" for one in out)


def unheard_pitches(script: Script, pitch: float, has_control: bool) -> tuple[str, ...]:
    """In words, which pitches of the text and the request are not done."""
    asked = {pitch + piece.pitch for piece in script.pieces if isinstance(piece, Say)}
    if not has_control:
        return ("pitch: this checkpoint's codec cannot move it",) if asked != {0.0} else ()
    out = sorted(one for one in asked if abs(one) > MAX_PITCH)
    return tuple(f"pitch {one:g} (text plus request): -{MAX_PITCH:g} to {MAX_PITCH:g} are possible" for one in out)


def sampling_options(defaults: SamplingOptions, request: SpeechRequest) -> SamplingOptions:
    """The checkpoint's options with what the request says otherwise."""
    given = {name: getattr(request, name) for name in SAMPLING_FIELDS if getattr(request, name) is not None}
    return replace(defaults, **given)


def recalled(kept: GeneratedCodes, seed: int, timeline: Trace, ignored: tuple[str, ...]) -> Session:
    """A session that is already over, with all frames in it."""
    session = Session(
        CachedGeneration(list(kept.segments)), math.inf, timeline=timeline, seed=seed, is_recalled=True, ignored=ignored
    )
    session.finish_reason = kept.finish_reason
    for segment in kept.segments:
        session.frames.put(SegmentStart(segment.pause_s, segment.speed, pitch=segment.pitch))
        for codes in segment.codes.T:
            session.frames.put(Frame(codes))
    if kept.closing_pause_s:
        session.frames.put(SegmentStart(kept.closing_pause_s))
    session.n_frames = sum(segment.codes.shape[1] for segment in kept.segments)
    session.frames.finish()
    return session
