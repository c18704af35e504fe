"""What a genre sounds like: tempo, meter, mode, harmony, instruments and patterns."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Style:
    """Ranges and choices of one genre; a choice listed twice is twice as likely.

    `tempo_bpm`: beats a minute; `density`: notes of the melody, 0 to 2; `parts`: how many instruments, drums included.
    """

    tempo_bpm: tuple[int, int]
    meters: tuple[str, ...]
    modes: tuple[str, ...]
    harmony: str
    lead: tuple[str, ...]
    chords: tuple[str, ...]
    bass: tuple[str, ...]
    pad: tuple[str, ...]
    drums: tuple[str, ...]
    drum_patterns: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    chord_patterns: tuple[str, ...]
    density: tuple[float, float] = (0.5, 1.2)
    swing: tuple[float, float] = (0.0, 0.0)
    parts: tuple[int, int] = (3, 5)
    energy: float = 0.6


STYLES = {
    "pop": Style(
        (88, 128), ("4/4", "4/4", "4/4", "6/8"), ("major", "major", "minor"), "pop",
        ("piano", "square lead", "electric guitar", "flute", "saw lead"), ("piano", "acoustic guitar", "electric piano"),
        ("electric bass", "synth bass"), ("strings", "synth pad", "choir"), ("drums",), ("pop", "rock"),
        ("pulse", "push", "half"), ("half", "strum", "quarters", "arpeggio"), energy=0.7,
    ),
    "rock": Style(
        (104, 164), ("4/4", "4/4", "4/4", "6/8"), ("major", "minor", "mixolydian"), "pop",
        ("distorted guitar", "electric guitar", "saw lead", "organ"), ("electric guitar", "distorted guitar", "organ"),
        ("electric bass",), ("organ", "strings"), ("drums",), ("rock",),
        ("pulse", "push"), ("eighths", "push", "quarters"), energy=0.95,
    ),
    "jazz": Style(
        (92, 176), ("4/4", "4/4", "4/4", "3/4"), ("major", "major", "minor", "dorian"), "jazz",
        ("saxophone", "trumpet", "clarinet", "vibraphone", "piano", "jazz guitar", "trombone"),
        ("piano", "jazz guitar", "electric piano", "vibraphone"), ("double bass",), ("strings", "electric piano"),
        ("drums", "brush drums"), ("swing",), ("walking", "walking", "half"), ("charleston", "comp", "half"),
        density=(0.8, 1.5), swing=(0.75, 1.0), energy=0.6,
    ),
    "blues": Style(
        (66, 120), ("4/4", "4/4", "12/8", "6/8"), ("major", "mixolydian", "minor"), "blues",
        ("harmonica", "electric guitar", "saxophone", "piano"), ("piano", "organ", "electric guitar"),
        ("electric bass", "double bass"), ("organ",), ("drums",), ("shuffle",),
        ("walking", "push", "pulse"), ("quarters", "charleston", "push"), swing=(0.7, 1.0), energy=0.6,
    ),
    "funk": Style(
        (92, 120), ("4/4",), ("dorian", "mixolydian", "minor"), "pop",
        ("saxophone", "trumpet", "square lead", "organ"), ("electric guitar", "electric piano", "organ"),
        ("electric bass", "synth bass"), ("strings", "synth pad"), ("drums",), ("funk",), ("funk",), ("funk", "comp"),
        density=(0.9, 1.6), energy=0.85,
    ),
    "classical": Style(
        (60, 144), ("4/4", "3/4", "3/4", "6/8", "2/4"), ("major", "major", "minor"), "classical",
        ("violin", "flute", "oboe", "clarinet", "piano", "cello"), ("piano", "harpsichord", "pizzicato strings", "harp"),
        ("cello", "bassoon", "double bass"), ("strings", "french horn"), (), (),
        ("half", "root-fifth", "ballad", "whole"), ("alberti", "arpeggio", "half", "quarters"),
        density=(0.6, 1.6), parts=(1, 5), energy=0.5,
    ),
    "orchestral": Style(
        (60, 132), ("4/4", "4/4", "3/4", "6/8"), ("minor", "minor", "major", "dorian"), "pop",
        ("french horn", "trumpet", "violin", "strings", "oboe"), ("strings", "pizzicato strings", "harp", "piano"),
        ("cello", "tuba", "double bass", "timpani"), ("choir", "strings", "trombone"), (), (),
        ("pulse", "half", "whole"), ("eighths", "half", "arpeggio", "sixteenths"), density=(0.3, 0.9), parts=(4, 5), energy=0.75,
    ),
    "folk": Style(
        (76, 132), ("4/4", "3/4", "6/8", "2/4"), ("major", "major", "minor", "dorian", "mixolydian"), "folk",
        ("violin", "flute", "accordion", "harmonica", "recorder", "banjo", "acoustic guitar"),
        ("acoustic guitar", "nylon guitar", "accordion", "harp"), ("double bass", "cello"), ("accordion", "reed organ"),
        ("brush drums",), ("soft",), ("root-fifth", "half"), ("strum", "picking", "afterbeat"),
        density=(0.8, 1.4), parts=(2, 4), energy=0.5,
    ),
    "country": Style(
        (84, 144), ("4/4", "4/4", "3/4", "2/4"), ("major", "major", "mixolydian"), "folk",
        ("violin", "harmonica", "banjo", "electric guitar"), ("acoustic guitar", "banjo", "piano"),
        ("double bass", "electric bass"), ("strings", "accordion"), ("drums", "brush drums"), ("train", "pop"),
        ("root-fifth",), ("afterbeat", "strum", "picking"), energy=0.65,
    ),
    "latin": Style(
        (96, 144), ("4/4", "4/4", "2/4"), ("minor", "major", "dorian"), "jazz",
        ("flute", "trumpet", "nylon guitar", "saxophone", "vibraphone"), ("nylon guitar", "piano"),
        ("double bass", "electric bass"), ("strings", "synth pad"), ("drums",), ("bossa",), ("bossa",), ("bossa", "comp"),
        density=(0.6, 1.3), energy=0.6,
    ),
    "reggae": Style(
        (66, 96), ("4/4",), ("major", "minor", "dorian"), "pop",
        ("organ", "saxophone", "trombone", "electric guitar"), ("electric guitar", "organ", "piano"),
        ("electric bass",), ("organ", "synth pad"), ("drums",), ("reggae",), ("reggae", "push"), ("skank", "offbeat"), energy=0.6,
    ),
    "electronic": Style(
        (112, 140), ("4/4",), ("minor", "minor", "major", "dorian"), "loop",
        ("saw lead", "square lead", "bell pad", "electric piano"), ("saw lead", "square lead", "electric piano", "piano"),
        ("synth bass",), ("synth pad", "bell pad", "strings"), ("electronic drums",), ("four on the floor",),
        ("offbeat", "pulse", "octaves"), ("sixteenths", "offbeat", "rolling", "push"), density=(0.4, 1.4), energy=0.9,
    ),
    "ambient": Style(
        (60, 90), ("4/4", "4/4", "3/4", "6/8"), ("major", "minor", "dorian"), "ambient",
        ("piano", "bell pad", "flute", "vibraphone", "pan flute", "celesta"), ("synth pad", "electric piano", "harp", "bell pad"),
        ("synth bass", "cello", "synth pad"), ("synth pad", "choir", "strings"), (), (),
        ("whole",), ("whole", "arpeggio", "rolling"), density=(0.0, 0.5), parts=(2, 4), energy=0.3,
    ),
    "lofi": Style(
        (68, 92), ("4/4",), ("minor", "major", "dorian"), "jazz",
        ("electric piano", "vibraphone", "nylon guitar", "flute"), ("electric piano", "piano", "jazz guitar"),
        ("electric bass", "synth bass"), ("synth pad", "strings"), ("electronic drums", "drums"), ("lofi",),
        ("sub", "ballad", "half"), ("half", "charleston", "whole"), density=(0.3, 1.0), swing=(0.3, 0.7), energy=0.45,
    ),
    "world": Style(
        (72, 132), ("4/4", "6/8", "3/4", "5/4"), ("dorian", "minor", "major", "mixolydian"), "folk",
        ("sitar", "koto", "pan flute", "steel drums", "kalimba", "marimba", "recorder"),
        ("kalimba", "marimba", "harp", "koto", "nylon guitar"), ("double bass", "cello"), ("synth pad", "choir"),
        ("drums",), ("bossa", "soft"), ("half", "bossa", "root-fifth"), ("picking", "rolling", "bossa"),
        density=(0.7, 1.4), energy=0.55,
    ),
}  # fmt: skip


def style(genre: str) -> Style:
    if genre not in STYLES:
        raise BadRequest(f"The genre is '{genre}'; expected one of {', '.join(STYLES)}.", "genre")
    return STYLES[genre]
