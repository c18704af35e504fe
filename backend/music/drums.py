"""Drum parts: a pattern a section, fills before the next one, cymbals where one begins."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend.music.patterns import CRASH, DRUMS, FILLS, KICK, Pattern, hits
from backend.music.score import Note
from backend.music.theory import Meter

VELOCITIES = {"X": 108, "x": 86, "o": 52}


def drum_notes(name: str, meter: Meter, bars: Sequence[tuple[str, float]], rng: Random) -> list[Note]:
    """The notes of a drum part. `bars`: for each bar its section's letter ("" for silence) and energy 0 to 1.

    Sections with one letter get one variation of the pattern `name`.
    """
    variations: dict[str, dict[int, Pattern]] = {}
    notes: list[Note] = []
    for i, (letter, energy) in enumerate(bars):
        if not letter:
            continue
        kit = variations.setdefault(letter[0], rng.choice(DRUMS[name]))
        is_last = i + 1 == len(bars)
        is_end = is_last or bars[i + 1][0] != letter or (i + 1) % 8 == 0
        start = i * meter.bar_quarters
        if is_last:
            # The piece ends on one stroke.
            notes += [Note(start, 0.25, key, 100) for key in ((KICK, CRASH) if energy > 0.5 else (KICK,))]
            continue
        fill = rng.choice(FILLS) if is_end and energy > 0.45 and name not in ("soft", "bossa", "swing") else {}
        fill_from = min((hit.offset for p in fill.values() for hit in hits(p.bar(meter))), default=meter.bar_quarters)
        for key, pattern in kit.items():
            notes += _strokes(key, pattern.bar(meter), start, fill_from if key != KICK else meter.bar_quarters, energy)
        for key, pattern in fill.items():
            notes += _strokes(key, pattern.bar(meter), start, meter.bar_quarters, energy)
        begins = i == 0 or bars[i - 1][0] != letter
        if begins and energy > 0.6 and i:
            notes.append(Note(start, 0.25, CRASH, round(70 + 35 * energy)))
    return sorted(notes, key=lambda note: (note.start, note.pitch))


def _strokes(key: int, bar: str, start: float, until: float, energy: float) -> list[Note]:
    level = 0.72 + 0.28 * energy
    return [
        Note(start + hit.offset, 0.25, key, max(20, min(127, round(VELOCITIES[hit.what] * level))))
        for hit in hits(bar)
        if hit.offset < until
    ]
