"""Keys, chords, roman numerals and meters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from backend.errors import BadRequest

PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
MINOR_LIKE = ("minor", "dorian")
QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "sus4": (0, 5, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "5": (0, 7),
}
NUMERAL = re.compile(r"([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(o7|o|maj7|7|6|sus4|5)?(?:/(V|IV|ii|vi))?")
DEGREES = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4, "VI": 5, "VII": 6}
KEY_TEXT = re.compile(r"([A-Ga-g])\s*([#b♯♭]|sharp|flat)?\s*(major|maj|minor|min|m|dorian|mixolydian)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chord:
    """`root`: pitch class 0 to 11; `quality`: one of `QUALITIES`; `numeral`: its function in the key."""

    root: int
    quality: str
    numeral: str = ""

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes, root first."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality])

    @property
    def symbol(self) -> str:
        return PITCH_NAMES[self.root] + self.quality


@dataclass(frozen=True)
class Key:
    """`tonic`: pitch class 0 to 11; `mode`: one of `MODES`."""

    tonic: int
    mode: str

    def __post_init__(self) -> None:
        if self.tonic not in range(12) or self.mode not in MODES:
            raise BadRequest(
                f"The key is {self.tonic} {self.mode}; expected a pitch class 0 to 11 and one of {', '.join(MODES)}.",
                "key",
            )

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key called `text`, such as "A minor", "Bb", "f# dorian". Raises `BadRequest`."""
        found = KEY_TEXT.fullmatch(text.strip())
        if not found:
            raise BadRequest(f"The key is '{text}'; expected a note and a mode such as 'A minor' or 'Bb major'.", "key")
        letter, accidental, mode = found.groups()
        if mode in ("M",):
            mode = "major"
        shift = {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}.get((accidental or "").lower(), 0)
        names = {None: "major", "maj": "major", "min": "minor", "m": "minor"}
        mode = mode.lower() if mode else None
        return cls((LETTERS[letter.upper()] + shift) % 12, names.get(mode, mode or "major"))

    @property
    def name(self) -> str:
        return f"{PITCH_NAMES[self.tonic]} {self.mode}"

    @cached_property
    def scale(self) -> tuple[int, ...]:
        """The seven pitch classes, tonic first."""
        return tuple((self.tonic + step) % 12 for step in MODES[self.mode])

    @property
    def is_minor(self) -> bool:
        return self.mode in MINOR_LIKE

    def chord(self, numeral: str) -> Chord:
        """The chord of a roman numeral of this key's own scale: "ii7", "V7/V", "bVII", "Imaj7", "viio".

        Upper case is major, lower case minor; in minor keys VI and VII stand on the lowered degrees.
        """
        found = NUMERAL.fullmatch(numeral)
        if not found:
            raise BadRequest(f"'{numeral}' is no roman numeral known here.", "chords")
        accidental, degree, extension, applied = found.groups()
        if applied:
            root = (self.chord(applied).root + MODES["major"][DEGREES[degree.upper()]]) % 12
        else:
            root = self.scale[DEGREES[degree.upper()]]
        root = (root + {"b": -1, "#": 1, "": 0}[accidental]) % 12
        is_small = degree.islower()
        qualities = {
            None: "m" if is_small else "", "7": "m7" if is_small else "7", "6": "m6" if is_small else "6",
            "o": "dim", "o7": "m7b5",
        }  # fmt: skip
        return Chord(root, qualities.get(extension, extension or ""), numeral)

    def scale_over(self, chord: Chord) -> tuple[int, ...]:
        """The seven scale tones, those replaced that a tone of the chord alters, ascending from the tonic."""
        tones = list(self.scale)
        steps = QUALITIES[chord.quality]
        for step, pitch_class in zip(steps, chord.tones, strict=True):
            if pitch_class in tones:
                continue
            # Major thirds and sevenths raise the tone below them, other foreign tones lower the one above.
            for neighbor in (
                (pitch_class - 1, pitch_class + 1) if step in (4, 11) else (pitch_class + 1, pitch_class - 1)
            ):
                if neighbor % 12 in tones and neighbor % 12 not in chord.tones:
                    tones[tones.index(neighbor % 12)] = pitch_class
                    break
        return tuple(sorted(tones, key=lambda tone: (tone - self.tonic) % 12))


@dataclass(frozen=True, slots=True)
class Meter:
    """A time signature; `6/8` and `12/8` are felt in dotted quarters."""

    numerator: int
    denominator: int

    @classmethod
    def parse(cls, text: str) -> Meter:
        """Raises `BadRequest` for a meter that is not one of `METERS`."""
        for meter in METERS:
            if text.replace(" ", "") == meter.name:
                return meter
        raise BadRequest(f"The meter is '{text}'; expected one of {', '.join(m.name for m in METERS)}.", "meter")

    @property
    def name(self) -> str:
        return f"{self.numerator}/{self.denominator}"

    @property
    def is_compound(self) -> bool:
        return self.denominator == 8 and self.numerator % 3 == 0

    @property
    def bar_quarters(self) -> float:
        return self.numerator * 4 / self.denominator

    @property
    def beat_quarters(self) -> float:
        """Length of the beat that the tempo counts."""
        return 1.5 if self.is_compound else 4 / self.denominator

    @property
    def n_beats(self) -> int:
        return round(self.bar_quarters / self.beat_quarters)

    @property
    def strong_quarters(self) -> tuple[float, ...]:
        """Where chord tones are expected: offsets of the strong beats in a bar, in quarters."""
        strong = {"4/4": (0.0, 2.0), "12/8": (0.0, 3.0), "6/8": (0.0, 1.5), "5/4": (0.0, 3.0)}
        return strong.get(self.name, (0.0,))


METERS = (Meter(4, 4), Meter(3, 4), Meter(6, 8), Meter(2, 4), Meter(5, 4), Meter(12, 8))
