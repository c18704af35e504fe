"""Moods: what each asks of the music, and the rule that names the mood of finished music."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mood:
    """`modes` in order of preference, `tempo_bpm` and `energy` (0 to 1) as ranges."""

    modes: tuple[str, ...]
    tempo_bpm: tuple[int, int]
    energy: tuple[float, float]


MOODS = {
    "happy": Mood(("major", "mixolydian"), (108, 168), (0.55, 0.9)),
    "energetic": Mood(("major", "minor", "mixolydian", "dorian"), (124, 180), (0.8, 1.0)),
    "calm": Mood(("major", "dorian"), (60, 84), (0.15, 0.4)),
    "romantic": Mood(("major",), (63, 96), (0.3, 0.55)),
    "sad": Mood(("minor",), (60, 80), (0.2, 0.45)),
    "dark": Mood(("minor", "dorian"), (66, 112), (0.4, 0.75)),
    "tense": Mood(("minor",), (120, 170), (0.7, 1.0)),
    "epic": Mood(("minor", "major"), (84, 132), (0.8, 1.0)),
}


def mood_of(mode: str, tempo_bpm: float, notes_per_beat: float, mean_pitch: float) -> str:
    """The mood by rule: mode says bright or dark, tempo and busyness say how lively.

    `notes_per_beat` counts onsets of the melody, `mean_pitch` is its mean MIDI key; a high and busy melody counts as
    faster by up to 15 %, a low and sparse one as slower.
    """
    liveliness = tempo_bpm * (1 + 0.15 * max(-1.0, min(1.0, (notes_per_beat - 1.2) + (mean_pitch - 70) / 24)))
    if mode in ("major", "mixolydian"):
        return "calm" if liveliness < 90 else "happy" if liveliness < 140 else "energetic"
    return "sad" if liveliness < 86 else "dark" if liveliness < 120 else "tense"
