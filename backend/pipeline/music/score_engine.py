"""The score engine: a text becomes a score by rules, and the score becomes sound, stems and MIDI, bar by bar."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import BadRequest, Cancelled
from backend.music.captions import labels_of
from backend.music.composer import MIN_DURATION_S, CompositionRequest, compose
from backend.music.midi import to_midi
from backend.music.mixing import MixOptions
from backend.music.performance import perform
from backend.music.prompt import parse_prompt
from backend.music.rendering import Renderer
from backend.music.score import Score
from backend.music.segments import TAIL_S, TARGET_S, fullest_segment, segments_of
from backend.music.streaming_mix import StreamingMix
from backend.music.theory import Key, Meter
from backend.pipeline.music.engine import (
    MAX_INSTRUMENTS,
    MAX_SEED,
    MusicCapabilities,
    MusicChunk,
    MusicRequest,
    PieceFacts,
    PromptChange,
    check_prompt,
    reject_unsupported,
)

RATE_HZ = 44_100
DURATION_S = 30.0
FADE_S = 0.6
CROSSFADE_S = 0.5
CALIBRATION_TARGET_S = (2.0,)
CALIBRATION_TAIL_S = 0.5
# Endless music: the length of one piece, and of the segments after the first, which a prompt change waits for.
ENDLESS_PIECE_S = 64.0
ENDLESS_TARGET_S = (2.0, 2.0, 4.0)
SEED_STEP = 1_000_003
FAST_PARTS = 3


@dataclass(frozen=True)
class MusicResult:
    """`stems`: name and sound of each part where they were asked for; together they are the mix.

    `midi` is None for music with prompt changes. `not_understood`: words of the text that changed nothing.
    `labels`: the exact properties of the piece.
    """

    mix: Waveform
    stems: tuple[tuple[str, Waveform], ...]
    midi: bytes | None
    score: Score
    labels: dict[str, Any]
    not_understood: tuple[str, ...]


def composition_of(request: MusicRequest) -> tuple[CompositionRequest, tuple[str, ...]]:
    """What the composer is asked, and the words that were not understood."""
    parsed = parse_prompt(request.text)
    duration_s = request.duration_s if request.duration_s is not None else parsed.duration_s
    has_tempo = request.tempo_bpm is not None
    instruments = request.instruments or parsed.instruments
    n_parts = parsed.n_parts
    if request.quality == "fast":
        n_parts = max(len(instruments), min(n_parts or FAST_PARTS, FAST_PARTS))
    composition = CompositionRequest(
        seed=request.seed,
        duration_s=DURATION_S if duration_s is None else duration_s,
        tempo_bpm=request.tempo_bpm if has_tempo else parsed.tempo_bpm,
        tempo_range=None if has_tempo else parsed.tempo_range,
        key=Key.parse(request.key) if request.key is not None else parsed.key,
        mode=None if request.key is not None else parsed.mode,
        meter=Meter.parse(request.meter) if request.meter is not None else parsed.meter,
        genre=request.genre or parsed.genre, mood=request.mood or parsed.mood, instruments=instruments,
        without=() if request.instruments else parsed.without, n_parts=n_parts, swing=parsed.swing,
    )  # fmt: skip
    return composition, parsed.not_understood


class ScoreStream:
    """A composed piece that is rendered and mixed a few bars at a time.

    Prompt changes take effect at the next bar line that is not rendered yet, with a short crossfade. Endless music is
    a row of pieces with the tempo, key, meter, genre and instruments of the first.
    """

    sample_rate_hz = RATE_HZ
    n_channels = 2

    def __init__(self, request: MusicRequest, renderer: Renderer, lock: threading.Lock, ignored: tuple[str, ...] = ()):
        self._request = request
        self._renderer, self._lock, self.ignored = renderer, lock, ignored
        piece_request = (
            replace(request, duration_s=ENDLESS_PIECE_S, is_endless=False) if request.is_endless else request
        )
        self._piece = _Piece.of(piece_request)
        self.score, self.not_understood = self._piece.score, self._piece.not_understood
        self.duration_s = math.inf if request.is_endless else self._piece.composition.duration_s
        self.labels: dict[str, Any] = {
            **labels_of(self.score), "duration_s": None if request.is_endless else self.duration_s
        }  # fmt: skip
        for change in request.prompt_changes:
            composition_of(replace(piece_request, text=change.text))
        has_one_piece = not (request.is_endless or request.prompt_changes)
        self.midi = to_midi(replace(self._piece.performed, title=request.text[:80])) if has_one_piece else None
        self.stem_names = tuple(stem_names(self.score)) if request.has_stems else ()
        self._is_cancelled = threading.Event()
        self._live_prompt: str | None = None

    def cancel(self) -> None:
        """Ends the iteration at the next chunk. May be called from another thread."""
        self._is_cancelled.set()

    def change_prompt(self, text: str) -> None:
        """Follow `text` from the next bar that is not rendered yet. Raises `BadRequest` for an impossible one."""
        check_prompt(text, "prompt")
        if self._request.has_stems:
            raise BadRequest("The prompt of music with stems cannot change. Start it without stems.", "prompt")
        composition_of(replace(self._request, text=text, duration_s=ENDLESS_PIECE_S, is_endless=False))
        self.midi, self._live_prompt = None, text

    def __iter__(self) -> Iterator[MusicChunk]:
        """Yields stereo chunks at 44.1 kHz, exactly `duration_s` together; the last 0.6 s fade out."""
        total = None if self._request.is_endless else round(self.duration_s * RATE_HZ)
        piece, start, n_pieces = self._piece, 0, 0
        ringing = np.zeros((1, 2, 0), np.float32)
        changes = list(self._request.prompt_changes)
        while True:
            n_pieces += 1
            facts: PieceFacts | None = piece.facts
            done, next_text = start, None
            mix, end = self._mix(piece), start
            for samples, end in self._rendered(piece, mix, start, total):
                n_ringing = min(ringing.shape[2], samples.shape[2])
                if n_ringing:
                    samples[:, :, :n_ringing] = np.clip(samples[:, :, :n_ringing] + ringing[:, :, :n_ringing], -1, 1)
                    ringing = ringing[:, :, n_ringing:]
                if samples.shape[2]:
                    yield _chunk(samples, done, total, facts)
                    done, facts = done + samples.shape[2], None
                due = self._due(changes, end / RATE_HZ)
                if due is not None and (total is None or end < total):
                    next_text = due
                    break
            if next_text is None and total is not None:
                return
            tail = mix.rest(end - start + round((CROSSFADE_S if next_text else TAIL_S) * RATE_HZ))
            samples, ringing = tail[:, :, : end - done], tail[:, :, end - done :]
            if next_text is not None:
                ringing = ringing * np.linspace(1, 0, ringing.shape[2], dtype=np.float32) ** 2
            if samples.shape[2]:
                yield _chunk(samples, done, total, facts)
            piece = self._following(piece, next_text, n_pieces, None if total is None else (total - end) / RATE_HZ)
            start = end

    def _due(self, changes: list[PromptChange], at_s: float) -> str | None:
        """The prompt to switch to at a bar line, None to go on."""
        text, self._live_prompt = self._live_prompt, None
        while changes and changes[0].at_s <= at_s:
            text = changes.pop(0).text
        return text

    def _following(self, piece: _Piece, text: str | None, index: int, left_s: float | None) -> _Piece:
        """The piece after this one, by another prompt or, for endless music, by the same."""
        seed = (self._request.seed + index * SEED_STEP) % MAX_SEED
        duration_s = ENDLESS_PIECE_S if left_s is None else max(left_s, MIN_DURATION_S)
        if text is not None:
            return _Piece.of(replace(self._request, text=text, seed=seed, duration_s=duration_s, is_endless=False))
        score = piece.score
        composition = replace(
            piece.composition, seed=seed, tempo_bpm=round(score.tempo_bpm), tempo_range=None, key=score.key, mode=None,
            meter=score.meter, genre=score.genre, mood=score.mood, instruments=score.instruments[:MAX_INSTRUMENTS],
        )  # fmt: skip
        return _Piece(composition, (), piece.text)

    def _mix(self, piece: _Piece) -> StreamingMix:
        options = MixOptions(loudness_lufs=self._request.loudness_lufs, seed=piece.composition.seed % 2**31)
        return StreamingMix([p.role for p in piece.score.parts], RATE_HZ, options, self._request.has_stems)

    def _rendered(
        self, piece: _Piece, mix: StreamingMix, origin: int, total: int | None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Final samples [1 + stems, 2, n] of a piece that begins at `origin`, and the bar line rendered up to."""
        segments = segments_of(piece.performed, ENDLESS_TARGET_S if total is None else TARGET_S)
        n_samples = total - origin if total is not None else round(piece.score.duration_s * RATE_HZ)
        # Short segments, because the first sound waits for this.
        fullest = fullest_segment(segments_of(piece.performed, CALIBRATION_TARGET_S))
        mix.calibrate(self._stems(fullest.score, CALIBRATION_TAIL_S))
        for i, segment in enumerate(segments):
            start = round(segment.start_s * RATE_HZ)
            if start >= n_samples:
                break
            mix.add(self._stems(segment.score, segment.tail_s), start)
            is_last = i + 1 == len(segments)
            end = n_samples if is_last else min(round(segments[i + 1].start_s * RATE_HZ), n_samples)
            if not is_last:
                yield mix.take(end), origin + end
        if total is None:
            # The end of the piece rings into the next one.
            yield mix.take(n_samples), origin + n_samples
        else:
            yield mix.rest(n_samples), total

    def _stems(self, score: Score, tail_s: float) -> list[Waveform]:
        if self._is_cancelled.is_set():
            raise Cancelled("The music was cancelled before its end.")
        with self._lock:
            return self._renderer.stems(score, RATE_HZ, tail_s)


@dataclass(frozen=True)
class _Piece:
    """One composition with its score and performance."""

    composition: CompositionRequest
    not_understood: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, request: MusicRequest) -> _Piece:
        composition, not_understood = composition_of(request)
        return cls(composition, not_understood, request.text)

    @cached_property
    def score(self) -> Score:
        return compose(self.composition)

    @cached_property
    def performed(self) -> Score:
        return perform(self.score)

    @property
    def facts(self) -> PieceFacts:
        return PieceFacts(self.text, labels_of(self.score), self.not_understood)


class ScoreEngine:
    """Composes and renders. The soundfont is read once; streams of several threads take turns by the segment."""

    name = "score"
    sample_rate_hz = RATE_HZ
    n_channels = 2
    capabilities = MusicCapabilities(has_midi=True, has_stems=True, has_endless=True, has_prompt_changes=True)

    def __init__(self, soundfont: Path | None = None):
        self._renderer = Renderer(soundfont)
        self._lock = threading.Lock()

    def begin(self, request: MusicRequest) -> ScoreStream:
        """Composes the piece. Raises `BadRequest` for what cannot be composed."""
        return ScoreStream(request, self._renderer, self._lock, reject_unsupported(self, request))

    def generate(self, request: MusicRequest) -> MusicResult:
        """The whole piece: the chunks of `begin` joined. Raises `BadRequest` for endless music."""
        if request.is_endless:
            raise BadRequest("Endless music has no whole. Stream it, or send duration_s.", "is_endless")
        stream = self.begin(request)
        chunks = list(stream)
        mix = Waveform(np.concatenate([chunk.mix.samples for chunk in chunks], axis=1), RATE_HZ)
        stems = tuple(
            (name, Waveform(np.concatenate([chunk.stems[i].samples for chunk in chunks], axis=1), RATE_HZ))
            for i, name in enumerate(stream.stem_names)
        )
        return MusicResult(mix, stems, stream.midi, stream.score, stream.labels, stream.not_understood)


def stem_names(score: Score) -> list[str]:
    """One file name a part, such as "1-saxophone"."""
    return [f"{i}-{part.instrument.replace(' ', '-')}" for i, part in enumerate(score.parts, 1)]


def _chunk(samples: np.ndarray, start: int, total: int | None, facts: PieceFacts | None) -> MusicChunk:
    """Samples [1 + stems, 2, n] from `start` of a piece of `total` samples on, with its fade at the end."""
    if total is not None:
        n_fade = min(total, round(FADE_S * RATE_HZ))
        left = total - start - np.arange(samples.shape[2])
        samples = samples * np.clip(left / n_fade, 0, 1).astype(np.float32) ** 2
    stems = tuple(Waveform(stem, RATE_HZ) for stem in samples[1:])
    return MusicChunk(Waveform(samples[0], RATE_HZ), stems, start / RATE_HZ, facts)
