"""The General MIDI instruments that are composed for: programs, ranges and what they are good at."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import BadRequest


@dataclass(frozen=True, slots=True)
class GmInstrument:
    """`program`: General MIDI number from 0; `low` to `high`: sounding range as MIDI keys; `bank` 128 holds drum kits."""

    name: str
    program: int
    family: str
    low: int
    high: int
    bank: int = 0
    is_plucked: bool = False

    @property
    def is_drums(self) -> bool:
        return self.bank == 128

    @property
    def keys(self) -> range:
        return range(self.low, self.high + 1)


_TABLE = (
    # name, program, family, low, high, is_plucked
    ("piano", 0, "piano", 24, 105, True),
    ("electric piano", 4, "piano", 28, 96, True),
    ("harpsichord", 6, "piano", 36, 89, True),
    ("celesta", 8, "mallets", 60, 108, True),
    ("glockenspiel", 9, "mallets", 72, 108, True),
    ("vibraphone", 11, "mallets", 53, 89, True),
    ("marimba", 12, "mallets", 48, 96, True),
    ("organ", 16, "organ", 36, 96, False),
    ("reed organ", 20, "organ", 36, 96, False),
    ("accordion", 21, "organ", 48, 92, False),
    ("harmonica", 22, "reed", 60, 91, False),
    ("nylon guitar", 24, "guitar", 40, 83, True),
    ("acoustic guitar", 25, "guitar", 40, 83, True),
    ("jazz guitar", 26, "guitar", 40, 84, True),
    ("electric guitar", 27, "guitar", 40, 86, True),
    ("distorted guitar", 30, "guitar", 40, 86, False),
    ("double bass", 32, "bass", 28, 60, True),
    ("electric bass", 33, "bass", 28, 62, True),
    ("synth bass", 38, "bass", 28, 62, False),
    ("violin", 40, "strings", 55, 96, False),
    ("cello", 42, "strings", 36, 76, False),
    ("pizzicato strings", 45, "strings", 40, 88, True),
    ("harp", 46, "harp", 36, 96, True),
    ("strings", 48, "strings", 36, 91, False),
    ("choir", 53, "choir", 43, 79, False),
    ("trumpet", 56, "brass", 54, 84, False),
    ("trombone", 57, "brass", 40, 72, False),
    ("tuba", 58, "brass", 28, 58, False),
    ("french horn", 60, "brass", 41, 77, False),
    ("saxophone", 65, "reed", 49, 81, False),
    ("oboe", 68, "reed", 58, 89, False),
    ("bassoon", 70, "reed", 34, 70, False),
    ("clarinet", 71, "reed", 50, 89, False),
    ("flute", 73, "flute", 60, 94, False),
    ("recorder", 74, "flute", 60, 86, False),
    ("pan flute", 75, "flute", 60, 89, False),
    ("square lead", 80, "synth", 48, 91, False),
    ("saw lead", 81, "synth", 48, 91, False),
    ("synth pad", 89, "synth", 40, 88, False),
    ("bell pad", 88, "synth", 48, 88, False),
    ("sitar", 104, "plucked", 48, 77, True),
    ("banjo", 105, "plucked", 50, 84, True),
    ("koto", 107, "plucked", 50, 84, True),
    ("kalimba", 108, "mallets", 55, 88, True),
    ("steel drums", 114, "mallets", 55, 86, True),
    ("timpani", 47, "drums", 38, 57, True),
)
DRUM_KEYS = (
    *range(35, 52), 53, 54, 56, *range(60, 65), 67, 69, 70, 75, 76, 82,
)  # fmt: skip
_DRUMS = (("drums", 0), ("electronic drums", 25), ("brush drums", 40))

INSTRUMENTS = {row[0]: GmInstrument(*row[:5], is_plucked=row[5]) for row in _TABLE} | {
    name: GmInstrument(name, program, "drums", DRUM_KEYS[0], DRUM_KEYS[-1], 128, True) for name, program in _DRUMS
}


def instrument(name: str) -> GmInstrument:
    """Raises `BadRequest` for a name that is not in `INSTRUMENTS`."""
    if name not in INSTRUMENTS:
        raise BadRequest(f"The instrument is '{name}'; expected one of {', '.join(INSTRUMENTS)}.", "instruments")
    return INSTRUMENTS[name]
