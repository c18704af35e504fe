"""A score as a person plays it: swing, accents, phrases that swell, small errors of timing, strummed chords."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from random import Random

from backend.music.instruments import INSTRUMENTS
from backend.music.score import Note, Part, Score

# Seconds of a third of a beat's delay would be too much for slow swing; swing is a share of the beat instead.
TRIPLET_SHARE = 1 / 6
TIMING_SPREAD_S = {"drums": 0.004, "bass": 0.006, "melody": 0.010}
OTHER_SPREAD_S = 0.008
STRUM_S = 0.014
PHRASE_BARS = 4


@dataclass(frozen=True, slots=True)
class PerformanceOptions:
    """`humanize`: 0 plays exactly what is written, 1 like a person, 2 carelessly. `accent`: in steps of velocity."""

    humanize: float = 1.0
    accent: float = 7.0
    phrase_swell: float = 8.0
    legato: float = 0.96


def perform(score: Score, options: PerformanceOptions | None = None, seed: int | None = None) -> Score:
    """The score with played times, lengths and velocities; notes may leave the grid, and no note begins before 0."""
    options = options or PerformanceOptions()
    seed = score.seed if seed is None else seed
    return score.with_parts(
        _performed(score, part, options, Random(f"{seed}/performance/{i}/{part.instrument}"))
        for i, part in enumerate(score.parts)
    )


def swung(place: float, beat: float, swing: float) -> float:
    """A place in quarters after swing: the second half of each beat begins later, by a triplet's share at most."""
    if swing <= 0:
        return place
    whole, inside = divmod(place + 1e-9, beat)
    inside, middle = inside / beat, 0.5 + swing * TRIPLET_SHARE
    bent = inside * middle / 0.5 if inside < 0.5 else middle + (inside - 0.5) * (1 - middle) / 0.5
    return (whole + bent) * beat


def _performed(score: Score, part: Part, options: PerformanceOptions, rng: Random) -> Part:
    meter, beat = score.meter, score.meter.beat_quarters
    spread_s = TIMING_SPREAD_S.get(part.role, OTHER_SPREAD_S) * options.humanize
    quarters_a_second = score.tempo_bpm * beat / 60
    is_strummed = INSTRUMENTS[part.instrument].family == "guitar" if part.instrument in INSTRUMENTS else False
    together: defaultdict[float, list[Note]] = defaultdict(list)
    for note in part.notes:
        together[note.start].append(note)
    played: list[Note] = []
    for start, notes in sorted(together.items()):
        chord_shift = max(-2.5, min(2.5, rng.gauss(0, 1))) * spread_s * quarters_a_second
        in_bar = start % meter.bar_quarters
        accent = (
            options.accent if in_bar < 1e-6 else options.accent / 2 if _is_near(in_bar, meter.strong_quarters) else 0.0
        )
        if in_bar / beat % 1 > 1e-6:
            accent -= options.accent / 2
        phrase = start / meter.bar_quarters % PHRASE_BARS / PHRASE_BARS
        swell = options.phrase_swell * (math.sin(math.pi * min(1.0, phrase * 1.15)) - 0.5)
        if part.role == "drums":
            accent, swell = 0.0, swell / 3
        begin = swung(start, beat, score.swing)
        for i, note in enumerate(sorted(notes, key=lambda n: n.pitch)):
            strum = i * STRUM_S * quarters_a_second * options.humanize if is_strummed and len(notes) > 2 else 0.0
            at = max(0.0, begin + chord_shift + strum)
            end = swung(note.end, beat, score.swing)
            length = max(0.05, (end - begin) * options.legato - strum)
            velocity = note.velocity + accent + swell + rng.gauss(0, 3) * options.humanize
            played.append(Note(at, length, note.pitch, max(1, min(127, round(velocity)))))
    return replace(part, notes=tuple(_without_overlaps(played)))


def _is_near(place: float, places: tuple[float, ...]) -> bool:
    return any(abs(place - one) < 1e-6 for one in places)


def _without_overlaps(notes: list[Note]) -> list[Note]:
    """Notes of one pitch end before the next one begins: an instrument has each key once."""
    last: dict[int, int] = {}
    found: list[Note] = []
    for note in sorted(notes, key=lambda n: (n.start, n.pitch)):
        at = last.get(note.pitch)
        if at is not None and found[at].end > note.start - 0.02:
            if note.start - found[at].start < 0.04:
                continue
            found[at] = replace(found[at], duration=note.start - found[at].start - 0.02)
        last[note.pitch] = len(found)
        found.append(note)
    return found
