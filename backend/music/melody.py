"""Melodies from motifs: a rhythm and a contour that come back over changing chords."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from backend.music.score import ChordSpan, Note
from backend.music.theory import Chord, Key, Meter

# Rhythms of a beat, in parts of it, with how busy they are. A negative number is a rest.
SIMPLE_CELLS = {
    0: ((1,),),
    1: ((1,), (0.5, 0.5), (1,), (-0.5, 0.5)),
    2: ((0.5, 0.5), (0.5, 0.25, 0.25), (0.25, 0.25, 0.5), (0.75, 0.25), (1,)),
}
COMPOUND_CELLS = {
    0: ((1,), (1,)),
    1: ((2 / 3, 1 / 3), (1,), (1 / 3, 1 / 3, 1 / 3)),
    2: ((1 / 3, 1 / 3, 1 / 3), (2 / 3, 1 / 3), (1 / 3, 1 / 6, 1 / 6, 1 / 3)),
}


@dataclass(frozen=True, slots=True)
class Motif:
    """A bar of melody: (offset, length) in quarters, and the step in the scale from one note to the next."""

    rhythm: tuple[tuple[float, float], ...]
    steps: tuple[int, ...]


def motif(meter: Meter, density: float, rng: Random) -> Motif:
    """`density` 0 (long notes) to 2 (sixteenths)."""
    cells = COMPOUND_CELLS if meter.is_compound else SIMPLE_CELLS
    rhythm: list[tuple[float, float]] = []
    beat, place = 0, 0.0
    while beat < meter.n_beats:
        left = meter.n_beats - beat
        busy = min(2, max(0, int(density + rng.random())))
        if busy == 0 and left >= 2 and rng.random() < 0.7:
            rhythm.append((place, 2 * meter.beat_quarters))
            beat, place = beat + 2, place + 2 * meter.beat_quarters
            continue
        for part in rng.choice(cells[busy]):
            length = abs(part) * meter.beat_quarters
            if part > 0:
                rhythm.append((place, length))
            place += length
        beat, place = beat + 1, (beat + 1) * meter.beat_quarters
    if rhythm[0][0] > 0 and rng.random() < 0.7:
        # Most motifs begin on the beat.
        rhythm[0] = (0.0, rhythm[0][0] + rhythm[0][1])
    direction = rng.choice((-1, 1))
    steps = [0]
    for _ in rhythm[1:]:
        if abs(steps[-1]) > 2:
            steps.append(-1 if steps[-1] > 0 else 1)  # a leap is filled by a step back
            continue
        if rng.random() < 0.25:
            direction = -direction
        steps.append(direction * rng.choice((1, 1, 1, 1, 2, 2, 3)) if rng.random() < 0.88 else 0)
    return Motif(tuple(rhythm), tuple(steps))


@dataclass(frozen=True, slots=True)
class PhrasePlan:
    """Which motif sounds in each bar, and how the phrase ends. Bars: "a", "b", "a+" (a step higher), "cadence"."""

    bars: tuple[str, ...]
    is_closed: bool


PLANS = (
    ("a", "a", "b", "cadence"),
    ("a", "b", "a", "cadence"),
    ("a", "a+", "b", "cadence"),
    ("a", "b", "b+", "cadence"),
)


class MelodyWriter:
    """Writes melodies for one instrument's range; calls with the same material give the same notes."""

    def __init__(self, key: Key, meter: Meter, low: int, high: int):
        self.key, self.meter, self.low, self.high = key, meter, low, high
        self.centre = (low + high) // 2

    def phrase(
        self,
        motifs: dict[str, Motif],
        plan: PhrasePlan,
        chords: Sequence[ChordSpan],
        first_bar: int,
        at: int | None = None,
    ) -> list[Note]:
        """A phrase over `chords` (of the whole piece) from `first_bar` on; `at`: the pitch to begin near."""
        notes: list[Note] = []
        starts = [span.start for span in chords]
        pitch = at if at is not None else self.centre
        for i, name in enumerate(plan.bars):
            bar = (first_bar + i) * self.meter.bar_quarters
            if name == "cadence":
                notes += self._cadence(bar, pitch, chords, starts, plan.is_closed)
            else:
                notes += self._bar(motifs[name[0]], 1 if name.endswith("+") else 0, bar, pitch, chords, starts)
            pitch = notes[-1].pitch if notes else pitch
        return notes

    def _bar(
        self, motif: Motif, lift: int, bar: float, pitch: int, chords: Sequence[ChordSpan], starts: list[float]
    ) -> list[Note]:
        notes = []
        # The line returns to its middle at the start of bars, not to where the last bar strayed.
        pitch += round((self.centre - pitch) * 0.35)
        for (offset, length), step in zip(motif.rhythm, motif.steps, strict=True):
            chord = chords[bisect_right(starts, bar + offset + 1e-6) - 1].chord
            pitch = self._moved(pitch, step + (lift if offset == motif.rhythm[0][0] else 0), chord)
            if offset in self.meter.strong_quarters or length >= self.meter.beat_quarters:
                pitch = nearest(pitch, chord.tones, self.low, self.high)
            notes.append(Note(bar + offset, length, pitch, 80))
        return notes

    def _cadence(
        self, bar: float, pitch: int, chords: Sequence[ChordSpan], starts: list[float], is_closed: bool
    ) -> list[Note]:
        """A bar that comes to rest: on the tonic where the phrase is closed, else on a tone of the chord."""
        chord = chords[bisect_right(starts, bar + 1e-6) - 1].chord
        last_chord = chords[bisect_right(starts, bar + self.meter.bar_quarters - 1e-6) - 1].chord
        beat, length = self.meter.beat_quarters, self.meter.bar_quarters
        goal = (self.key.tonic,) if is_closed and self.key.tonic in last_chord.tones else last_chord.tones
        if chord != last_chord:
            middle = (self.meter.n_beats + 1) // 2 * beat
            first = nearest(pitch, chord.tones, self.low, self.high)
            return [
                Note(bar, middle, first, 80),
                Note(bar + middle, length - middle, nearest(first, goal, self.low, self.high), 80),
            ]
        if is_closed or self.meter.n_beats < 3:
            return [
                Note(bar, length - beat / 2 if length > beat else length, nearest(pitch, goal, self.low, self.high), 80)
            ]
        first = nearest(pitch, chord.tones, self.low, self.high)
        second = self._moved(first, -1, chord)
        return [
            Note(bar, beat, first, 80),
            Note(bar + beat, beat, second, 80),
            Note(bar + 2 * beat, length - 2 * beat, nearest(second, chord.tones, self.low, self.high), 80),
        ]

    def _moved(self, pitch: int, step: int, chord: Chord) -> int:
        """`step` places along the scale, turned back at the ends of the range."""
        scale = self.key.scale_over(chord)
        ladder = [p for p in range(self.low, self.high + 1) if p % 12 in scale]
        at = min(range(len(ladder)), key=lambda i: (abs(ladder[i] - pitch), i))
        target = at + step
        if not 0 <= target < len(ladder):
            target = at - step
        return ladder[min(max(target, 0), len(ladder) - 1)]


def nearest(pitch: int, classes: Sequence[int], low: int, high: int) -> int:
    """The key between `low` and `high` closest to `pitch` that belongs to one of the pitch classes."""
    options = [p for p in range(low, high + 1) if p % 12 in classes]
    return min(options, key=lambda p: (abs(p - pitch), p))


def harmonized(melody: Sequence[Note], chords: Sequence[ChordSpan], low: int, high: int) -> list[Note]:
    """A second voice: the chord tone a third to a sixth below each longer note of `melody`."""
    starts = [span.start for span in chords]
    voice = []
    for note in melody:
        if note.duration < 1:
            continue
        chord = chords[bisect_right(starts, note.start + 1e-6) - 1].chord
        options = [p for p in range(max(low, note.pitch - 9), min(high, note.pitch - 2) + 1) if p % 12 in chord.tones]
        if options:
            voice.append(Note(note.start, note.duration, options[-1], note.velocity - 8))
    return voice
