"""The score engine: a text becomes a score by rules, and the score becomes sound, stems and MIDI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.audio.waveform import Waveform
from backend.music.captions import labels_of
from backend.music.composer import CompositionRequest, compose
from backend.music.midi import to_midi
from backend.music.mixing import MixOptions, mix_stems
from backend.music.performance import perform
from backend.music.prompt import parse_prompt
from backend.music.rendering import Renderer
from backend.music.score import Score
from backend.music.theory import Key, Meter

RATE_HZ = 44_100
DURATION_S = 30.0
FADE_S = 0.6


@dataclass(frozen=True, slots=True)
class MusicRequest:
    """Music asked for in words; what is given beside the text wins over it.

    `tempo_bpm` counts beats of the meter; `loudness_lufs` is integrated loudness by ITU-R BS.1770.
    """

    text: str
    duration_s: float | None = None
    seed: int = 0
    tempo_bpm: int | None = None
    key: str | None = None
    meter: str | None = None
    loudness_lufs: float = -16.0
    has_stems: bool = False


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


class ScoreEngine:
    """Composes and renders. One instance serves one thread at a time; the soundfont is read once."""

    name = "score"

    def __init__(self, soundfont: Path | None = None):
        self._renderer = Renderer(soundfont)

    def generate(self, request: MusicRequest) -> MusicResult:
        """Stereo music at 44.1 kHz of exactly the duration asked for; the last half second fades out."""
        composition, not_understood = composition_of(request)
        score = compose(composition)
        performed = perform(score)
        stems = self._renderer.stems(performed, RATE_HZ)
        options = MixOptions(loudness_lufs=request.loudness_lufs, seed=request.seed % 2**31)
        mixed = mix_stems(stems, [part.role for part in score.parts], options, request.has_stems)
        n_samples = round(composition.duration_s * RATE_HZ)
        labels = {**labels_of(score), "duration_s": composition.duration_s}
        return MusicResult(
            _of_length(mixed.mix, n_samples),
            tuple(
                (name, _of_length(stem, n_samples))
                for name, stem in zip(stem_names(score), mixed.stems, strict=False)
            ),
            to_midi(replace(performed, title=request.text[:80])), score, labels, not_understood,
        )  # fmt: skip


def stem_names(score: Score) -> list[str]:
    """One file name a part, such as "1-saxophone"."""
    return [f"{i}-{part.instrument.replace(' ', '-')}" for i, part in enumerate(score.parts, 1)]


def _of_length(waveform: Waveform, n_samples: int) -> Waveform:
    """Cut or filled with silence to `n_samples`; what is cut fades out before."""
    samples = waveform.samples
    if samples.shape[1] < n_samples:
        return Waveform(np.pad(samples, ((0, 0), (0, n_samples - samples.shape[1]))), waveform.rate_hz)
    samples = samples[:, :n_samples].copy()
    n_fade = min(n_samples, round(FADE_S * waveform.rate_hz))
    samples[:, -n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32) ** 2
    return Waveform(samples, waveform.rate_hz)
