"""Stage two: text in a voice to frames of codes, segment after segment."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from backend.lm.base import Prompt
from backend.lm.pointer import Pointer
from backend.lm.sampling import RowSampler, SamplingOptions
from backend.pipeline.voice import SpokenVoice
from backend.runtime.caches import BoundedCache, content_key
from backend.runtime.lm_worker import LMWorker
from backend.runtime.pace import frame_budget, usual_frames
from backend.runtime.request import SpeechRequest
from backend.runtime.session import FinishReason, Frame, SegmentPrompt, SegmentStart, Session, SpokenSegment
from backend.runtime.timeline import Timeline
from backend.text.prompts.conversation import start_conversation

if TYPE_CHECKING:
    from backend.text.prompts.conversation import Conversation
    from backend.text.tokenizer import Tokenizer

CACHE_BYTES = 64 * 2**20
CHUNK_BYTES = 200
SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


class SpokenCodes(NamedTuple):
    """All a request became, kept for the next one like it."""

    segments: tuple[SpokenSegment, ...]
    finish_reason: FinishReason

    @property
    def size_bytes(self) -> int:
        return sum(segment.codes.nbytes for segment in self.segments)


@dataclass(slots=True)
class Narration:
    """The segments of one request, for the language model's thread; `spoken` grows as they are done."""

    conversation: Conversation
    voice: SpokenVoice
    options: SamplingOptions
    seed: int
    max_frames: Callable[[str], int]
    side_sizes: tuple[int, ...]  # of a model with a pointer
    device: torch.device | str
    on_end: Callable[[SpokenCodes], None]
    spoken: list[SpokenSegment] = field(default_factory=list)
    _finish_reason: FinishReason = "stop"

    @property
    def has_next(self) -> bool:
        return len(self.spoken) < len(self.conversation.segments)

    def next(self) -> SegmentPrompt:
        k = len(self.spoken)
        tokens = torch.from_numpy(self.conversation.prompt(k))
        sampler = RowSampler(self.options, seed=segment_seed(self.seed, k))
        side = None
        if self.side_sizes:
            # What is read has no side ids; the last column of it is what the first frame is drawn from.
            symbols = self.conversation.opened(k)[0]
            sampler.pointer = Pointer(symbols, len(self.side_sizes), max_spent=self.side_sizes[-1] - 1)
            side = torch.zeros(tokens.shape[1], len(self.side_sizes), dtype=torch.long)
            side[-1] = torch.from_numpy(sampler.pointer.side())
            side = side.to(self.device)
        prompt = Prompt(tokens.to(self.device), self.voice.conditioning, side)
        text = self.conversation.segments[k].text
        return SegmentPrompt(prompt, sampler, self.max_frames(text), self.conversation.n_shared)

    def done(self, codes: np.ndarray, finish_reason: FinishReason) -> None:
        self.conversation.add(len(self.spoken), codes)
        self.spoken.append(SpokenSegment(0.0, codes))
        if finish_reason == "length":
            self._finish_reason = "length"
        if not self.has_next:
            self.on_end(SpokenCodes(tuple(self.spoken), self._finish_reason))


@dataclass(slots=True)
class Recollection:
    """A request spoken before."""

    spoken: list[SpokenSegment]
    has_next: bool = False

    def next(self) -> SegmentPrompt:
        raise AssertionError("a request spoken before has nothing to generate")

    def done(self, codes: np.ndarray, finish_reason: FinishReason) -> None:
        raise AssertionError("a request spoken before has nothing to generate")


class SemanticStage:
    """Puts a text before the language model's thread, unless the same was spoken before from the same seed."""

    name = "semantic"

    def __init__(
        self, lm_worker: LMWorker, tokenizer: Tokenizer, *, model_key: str, frame_rate_hz: float, cache_entries: int,
        side_sizes: tuple[int, ...] = (), device: torch.device | str = "cpu",
    ):  # fmt: skip
        self._side_sizes = side_sizes
        self._worker, self._tokenizer, self._device = lm_worker, tokenizer, device
        self._model_key, self._frame_rate_hz = model_key, frame_rate_hz
        self.cache: BoundedCache[SpokenCodes] = BoundedCache(cache_entries, CACHE_BYTES, lambda kept: kept.size_bytes)

    def run(self, request: SpeechRequest, given: SpokenVoice, timeline: Timeline) -> Session:
        """A session whose frames come as they are made. Raises `Busy`, and what is wrong with the text."""
        spec, pace = self._worker.lm.spec, self._worker.pace
        seed = secrets.randbits(32) if request.seed is None else request.seed
        options = sampling_options(SamplingOptions.for_era(spec.era), request)
        # Only what has a seed of its own is ever asked for again.
        key = None
        if request.seed is not None and request.use_memory_cache:
            key = self._key(request, given, options)
            kept = self.cache.get(key)
            if kept is not None:
                return recalled(kept, seed, timeline)
        conversation = start_conversation(
            spec.era, self._tokenizer, spec.n_codebooks, request.text, given.references or (),
            chunk_length=request.chunk_length or CHUNK_BYTES, max_seq_len=self._worker.max_frames,
        )  # fmt: skip

        def max_frames(text: str) -> int:
            return request.max_new_tokens or frame_budget(text, self._frame_rate_hz)

        def keep(spoken: SpokenCodes) -> None:
            if key is not None:
                self.cache.put(key, spoken)

        narration = Narration(conversation, given, options, seed, max_frames, self._side_sizes, self._device, keep)
        frames = [min(usual_frames(s.text, self._frame_rate_hz), max_frames(s.text)) for s in conversation.segments]
        scheduler = self._worker.scheduler
        wait_s = pace.wait_s(scheduler.n_waiting, len(scheduler.rows))
        session = Session(
            narration, time.monotonic() + wait_s + pace.timeout_s(sum(frames)), request.use_memory_cache, timeline, seed
        )
        self._worker.submit(session)
        return session

    def _key(self, request: SpeechRequest, voice: SpokenVoice, options: SamplingOptions) -> str:
        return content_key(
            self._model_key, voice.key, request.text, request.seed, repr(options), request.max_new_tokens,
            request.chunk_length, request.normalize, request.markup,
        )  # fmt: skip


def sampling_options(defaults: SamplingOptions, request: SpeechRequest) -> SamplingOptions:
    """The checkpoint's options with what the request says otherwise."""
    given = {name: getattr(request, name) for name in SAMPLING_FIELDS if getattr(request, name) is not None}
    return replace(defaults, **given)


def segment_seed(seed: int, k: int) -> int:
    """Other noise for every segment, the given seed itself for the first."""
    return seed if k == 0 else int(content_key(seed, k)[:15], 16)


def recalled(kept: SpokenCodes, seed: int, timeline: Timeline) -> Session:
    """A session that is already over, with all frames in it."""
    session = Session(Recollection(list(kept.segments)), float("inf"), True, timeline, seed)
    session.is_recalled = True
    session.finish_reason = kept.finish_reason
    for segment in kept.segments:
        session.frames.put(SegmentStart(segment.pause_s))
        for codes in segment.codes.T:
            session.frames.put(Frame(codes))
    session.n_frames = sum(segment.codes.shape[1] for segment in kept.segments)
    session.frames.finish()
    return session
