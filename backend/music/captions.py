"""What a score is, as labels and as sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

from backend.music.score import Score
from backend.music.styles import STYLES

TEMPO_WORDS = ((70, ("very slow", "slow")), (90, ("slow", "unhurried")), (112, ("mid-tempo", "moderate")),
               (140, ("fast", "lively")), (math.inf, ("very fast", "driving")))  # fmt: skip
MOOD_WORDS = {
    "happy": ("happy", "cheerful", "uplifting", "bright"), "energetic": ("energetic", "upbeat", "exciting"),
    "calm": ("calm", "peaceful", "gentle", "relaxing"), "romantic": ("romantic", "tender", "warm"),
    "sad": ("sad", "melancholic", "sorrowful"), "dark": ("dark", "brooding", "mysterious"),
    "tense": ("tense", "dramatic", "urgent"), "epic": ("epic", "heroic", "cinematic"),
}  # fmt: skip
METER_WORDS = {
    "3/4": ("in 3/4", "in waltz time"),
    "6/8": ("in 6/8",),
    "5/4": ("in 5/4",),
    "2/4": ("in 2/4",),
    "12/8": ("in 12/8",),
}
# Each field is left out this often, so that a model learns from partial descriptions.
DROP_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class CaptionFields:
    """The words of a caption; None or empty is not said."""

    mood: str | None = None
    tempo_word: str | None = None
    genre: str | None = None
    instruments: tuple[str, ...] = ()
    key: str | None = None
    tempo_bpm: int | None = None
    meter: str | None = None


def labels_of(score: Score) -> dict[str, Any]:
    """Everything exact about a score as JSON values; times in seconds, from the first beat at 0."""
    return {
        "tempo_bpm": score.tempo_bpm, "beat_s": score.time_s(score.meter.beat_quarters),
        "meter": score.meter.name, "n_bars": score.n_bars, "duration_s": round(score.duration_s, 4),
        "key": score.key.name if score.key else None, "genre": score.genre, "mood": score.mood, "swing": score.swing,
        "seed": score.seed, "title": score.title, "composer": score.composer,
        "instruments": list(score.instruments),
        "parts": [
            {"instrument": part.instrument, "role": part.role, "n_notes": len(part.notes)} for part in score.parts
        ],
        "sections": [
            {"label": section.label, "start_s": round(score.time_s(section.first_bar * score.meter.bar_quarters), 4),
             "n_bars": section.n_bars} for section in score.sections
        ],
        "chords": [
            {"start_s": round(score.time_s(span.start), 4), "symbol": span.chord.symbol, "numeral": span.chord.numeral}
            for span in score.chords
        ],
    }  # fmt: skip


def fields_of(score: Score, rng: Random, drop_share: float = DROP_SHARE) -> CaptionFields:
    """The fields of a caption in words, each left out with probability `drop_share`; one at least is kept."""
    beats = score.tempo_bpm
    tempo_word = rng.choice(next(words for most, words in TEMPO_WORDS if beats < most))
    meter = rng.choice(METER_WORDS[score.meter.name]) if score.meter.name in METER_WORDS else None
    every: dict[str, Any] = {
        "mood": rng.choice(MOOD_WORDS[score.mood]) if score.mood else None,
        "tempo_word": tempo_word,
        "genre": score.genre if score.genre in STYLES else None,
        "instruments": score.instruments,
        "key": score.key.name if score.key else None,
        "tempo_bpm": round(beats),
        "meter": meter,
    }
    kept = {name: value for name, value in every.items() if value and rng.random() >= drop_share}
    if not kept:
        name = rng.choice([name for name, value in every.items() if value])
        kept = {name: every[name]}
    return CaptionFields(**kept)


def caption(fields: CaptionFields, rng: Random) -> str:
    """One sentence of the fields, in one of a few orders."""
    words = [
        word
        for word in (fields.mood, fields.tempo_word if fields.tempo_bpm is None or rng.random() < 0.5 else None)
        if word
    ]
    if rng.random() < 0.5:
        words.reverse()
    head = " ".join([*words, fields.genre or rng.choice(("music", "piece", "tune"))])
    tail = []
    if fields.instruments:
        tail.append(("with " if rng.random() < 0.7 else "for ") + _listed(fields.instruments))
    if fields.key:
        tail.append(f"in {fields.key}")
    if fields.meter:
        tail.append(fields.meter)
    sentence = " ".join([head, *tail])
    if fields.tempo_bpm is not None:
        sentence += rng.choice((f", {fields.tempo_bpm} bpm", f" at {fields.tempo_bpm} bpm"))
    return sentence[0].upper() + sentence[1:] if rng.random() < 0.7 else sentence


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def captions_of(score: Score, seed: int, n: int = 4) -> list[str]:
    """`n` captions, the first with every field."""
    rng = Random(f"{seed}/captions")
    return [caption(fields_of(score, rng, 0.0 if i == 0 else DROP_SHARE), rng) for i in range(n)]
