"""The score engine: a text becomes a score by rules, and the score becomes sound, stems and MIDI, bar by bar."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.audio.waveform import Waveform
from backend.errors import Cancelled
from backend.music.captions import labels_of
from backend.music.composer import CompositionRequest, compose
from backend.music.midi import to_midi
from backend.music.mixing import MixOptions
from backend.music.performance import perform
from backend.music.prompt import parse_prompt
from backend.music.rendering import Renderer
from backend.music.score import Score
from backend.music.segments import fullest_segment, segments_of
from backend.music.streaming_mix import StreamingMix
from backend.music.theory import Key, Meter
from backend.pipeline.music.engine import MusicChunk, MusicRequest

RATE_HZ = 44_100
DURATION_S = 30.0
FADE_S = 0.6


@dataclass(frozen=True)
class MusicResult:
    """`stems`: name and sound of each part where they were asked for; together they are the mix.

    `not_understood`: words of the text that changed nothing. `labels`: the exact properties of the piece.
    """

    mix: Waveform
    stems: tuple[tuple[str, Waveform], ...]
    midi: bytes
    score: Score
    labels: dict[str, Any]
    not_understood: tuple[str, ...]


def composition_of(request: MusicRequest) -> tuple[CompositionRequest, tuple[str, ...]]:
    """What the composer is asked, and the words that were not understood."""
    parsed = parse_prompt(request.text)
    duration_s = request.duration_s if request.duration_s is not None else parsed.duration_s
    has_tempo = request.tempo_bpm is not None
    composition = CompositionRequest(
        seed=request.seed,
        duration_s=DURATION_S if duration_s is None else duration_s,
        tempo_bpm=request.tempo_bpm if has_tempo else parsed.tempo_bpm,
        tempo_range=None if has_tempo else parsed.tempo_range,
        key=Key.parse(request.key) if request.key is not None else parsed.key,
        mode=None if request.key is not None else parsed.mode,
        meter=Meter.parse(request.meter) if request.meter is not None else parsed.meter,
        genre=parsed.genre, mood=parsed.mood, instruments=parsed.instruments, without=parsed.without,
        n_parts=parsed.n_parts, swing=parsed.swing,
    )  # fmt: skip
    return composition, parsed.not_understood


class ScoreStream:
    """A composed piece that is rendered and mixed a few bars at a time."""

    sample_rate_hz = RATE_HZ
    n_channels = 2

    def __init__(self, request: MusicRequest, renderer: Renderer, lock: threading.Lock):
        composition, self.not_understood = composition_of(request)
        self.score = compose(composition)
        self.duration_s = composition.duration_s
        self.labels: dict[str, Any] = {**labels_of(self.score), "duration_s": self.duration_s}
        performed = perform(self.score)
        self.midi = to_midi(replace(performed, title=request.text[:80]))
        self.stem_names = tuple(stem_names(self.score)) if request.has_stems else ()
        self._request, self._performed = request, performed
        self._renderer, self._lock = renderer, lock
        self._is_cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends the iteration at the next chunk. May be called from another thread."""
        self._is_cancelled.set()

    def __iter__(self) -> Iterator[MusicChunk]:
        """Yields stereo chunks at 44.1 kHz, exactly `duration_s` together; the last 0.6 s fade out."""
        options = MixOptions(loudness_lufs=self._request.loudness_lufs, seed=self._request.seed % 2**31)
        roles = [part.role for part in self.score.parts]
        mix = StreamingMix(roles, RATE_HZ, options, self._request.has_stems)
        segments = segments_of(self._performed)
        n_samples = round(self.duration_s * RATE_HZ)
        fullest = fullest_segment(segments)
        calibration = self._stems(fullest.score, fullest.tail_s)
        mix.calibrate(calibration)
        done = 0
        for i, segment in enumerate(segments):
            start = round(segment.start_s * RATE_HZ)
            if start >= n_samples:
                break
            stems = calibration if segment is fullest else self._stems(segment.score, segment.tail_s)
            mix.add(stems, start)
            end = round(segments[i + 1].start_s * RATE_HZ) if i + 1 < len(segments) else start
            taken = mix.take(min(end, n_samples))
            if taken.shape[2]:
                yield _faded(taken, done, n_samples)
                done += taken.shape[2]
        yield _faded(mix.rest(n_samples), done, n_samples)

    def _stems(self, score: Score, tail_s: float) -> list[Waveform]:
        if self._is_cancelled.is_set():
            raise Cancelled("The music was cancelled before its end.")
        with self._lock:
            return self._renderer.stems(score, RATE_HZ, tail_s)


class ScoreEngine:
    """Composes and renders. The soundfont is read once; streams of several threads take turns by the segment."""

    name = "score"
    sample_rate_hz = RATE_HZ
    n_channels = 2
    has_midi = has_stems = True

    def __init__(self, soundfont: Path | None = None):
        self._renderer = Renderer(soundfont)
        self._lock = threading.Lock()

    def begin(self, request: MusicRequest) -> ScoreStream:
        """Composes the piece. Raises `BadRequest` for what cannot be composed."""
        return ScoreStream(request, self._renderer, self._lock)

    def generate(self, request: MusicRequest) -> MusicResult:
        """The whole piece: the chunks of `begin` joined."""
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


def _faded(samples: np.ndarray, start: int, n_samples: int) -> MusicChunk:
    """Samples [1 + stems, 2, n] from `start` of a piece of `n_samples` on, with its fade at the end."""
    n_fade = min(n_samples, round(FADE_S * RATE_HZ))
    left = n_samples - start - np.arange(samples.shape[2])
    fade = np.clip(left / n_fade, 0, 1).astype(np.float32) ** 2
    samples = samples * fade
    return MusicChunk(Waveform(samples[0], RATE_HZ), tuple(Waveform(stem, RATE_HZ) for stem in samples[1:]))
