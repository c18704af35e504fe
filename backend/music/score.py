"""A piece as notes: parts, chords, sections, and the time of each beat."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from backend.music.theory import Chord, Key, Meter


@dataclass(frozen=True, slots=True)
class Note:
    """`start` and `duration` in quarter notes, `pitch` as a MIDI key 0 to 127 (a drum's key in a drum part)."""

    start: float
    duration: float
    pitch: int
    velocity: int

    @property
    def end(self) -> float:
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument. `instrument`: a name of `backend.music.instruments`; `role`: melody, chords, bass, drums, ..."""

    instrument: str
    role: str
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class ChordSpan:
    """`start` and `duration` in quarter notes."""

    start: float
    duration: float
    chord: Chord

    @property
    def end(self) -> float:
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Section:
    """`label`: sections with one letter share their material; `A'` is a varied A."""

    label: str
    first_bar: int
    n_bars: int


@dataclass(frozen=True, slots=True)
class TempoChange:
    """From `start` (quarter notes) on, `tempo_bpm` beats of the meter a minute."""

    start: float
    tempo_bpm: float


@dataclass(frozen=True)
class Score:
    """A piece. `tempo_bpm` counts beats of the meter: quarters, or dotted quarters in 6/8 and 12/8.

    `key` is None where it is not known (scores read from files). `swing` is the delay of every second half of a beat,
    0 (straight) to 1 (triplets).
    """

    tempo_bpm: float
    meter: Meter
    key: Key | None
    parts: tuple[Part, ...]
    n_bars: int
    chords: tuple[ChordSpan, ...] = ()
    sections: tuple[Section, ...] = ()
    genre: str | None = None
    mood: str | None = None
    swing: float = 0.0
    seed: int | None = None
    tempo_changes: tuple[TempoChange, ...] = ()
    title: str = ""
    composer: str = ""

    @property
    def n_quarters(self) -> float:
        return self.n_bars * self.meter.bar_quarters

    @cached_property
    def _tempo_map(self) -> tuple[list[float], list[float], list[float]]:
        """Starts in quarters, starts in seconds, and seconds a quarter from there."""
        changes = [TempoChange(0.0, self.tempo_bpm), *self.tempo_changes]
        starts: list[float] = []
        times: list[float] = []
        paces: list[float] = []
        for change in changes:
            if starts and change.start <= starts[-1]:
                starts.pop(), times.pop(), paces.pop()
            time_s = times[-1] + (change.start - starts[-1]) * paces[-1] if starts else 0.0
            starts.append(change.start)
            times.append(time_s)
            paces.append(60 / (change.tempo_bpm * self.meter.beat_quarters))
        return starts, times, paces

    def time_s(self, quarters: float) -> float:
        """The time of a place in the score."""
        starts, times, paces = self._tempo_map
        at = max(bisect_right(starts, quarters) - 1, 0)
        return times[at] + (quarters - starts[at]) * paces[at]

    @property
    def duration_s(self) -> float:
        """Up to the last bar line; the sound rings on a little."""
        return self.time_s(self.n_quarters)

    @property
    def instruments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.instrument for part in self.parts))

    def chord_at(self, quarters: float) -> Chord | None:
        at = bisect_right([span.start for span in self.chords], quarters + 1e-6) - 1
        return self.chords[at].chord if at >= 0 and quarters < self.chords[at].end else None

    def with_parts(self, parts: Iterable[Part]) -> Score:
        return replace(self, parts=tuple(parts))
