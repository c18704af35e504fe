"""Rhythm patterns as short strings, and how they are laid over the bars of any meter.

A character is a sixteenth. `-` holds what sounds, `.` is silence, anything else begins a note. Bass: R root, F fifth,
T third, O root an octave up, A a tone that leads to the next root. Chords: X all notes, digits one note of the voicing.
Drums: X accent, x normal, o soft.
"""

from __future__ import annotations

from typing import NamedTuple

from backend.music.theory import Meter

STEP_QUARTERS = 0.25


class Pattern(NamedTuple):
    """A bar in 4/4 (16 characters), 3/4 (12) and 6/8 (12); other meters are made of these."""

    four: str
    three: str
    six: str

    def bar(self, meter: Meter) -> str:
        if meter.name == "4/4":
            return self.four
        if meter.name == "3/4":
            return self.three
        if meter.is_compound:
            return self.six * (meter.numerator // 6)
        return self.four[:8] if meter.numerator == 2 else self.three + self.four[:8]


class Hit(NamedTuple):
    """`offset` and `length` in quarters from the bar's start."""

    offset: float
    length: float
    what: str


def hits(bar: str) -> list[Hit]:
    found: list[Hit] = []
    for i, character in enumerate(bar):
        if character == "-":
            if found and found[-1].offset + found[-1].length == i * STEP_QUARTERS:
                found[-1] = found[-1]._replace(length=found[-1].length + STEP_QUARTERS)
        elif character != ".":
            found.append(Hit(i * STEP_QUARTERS, STEP_QUARTERS, character))
    return found


BASS = {
    "whole": Pattern("R---------------", "R-----------", "R-----------"),
    "half": Pattern("R-------F-------", "R-------F---", "R-----F-----"),
    "pulse": Pattern("R-R-R-R-R-R-R-R-", "R-R-R-R-R-R-", "R-R-R-R-R-A-"),
    "push": Pattern("R-----R-R---F-R-", "R---R-R-F-R-", "R---R-R---F-"),
    "octaves": Pattern("R-O-R-O-R-O-R-O-", "R-O-R-O-R-O-", "R-O-R-R-O-R-"),
    "offbeat": Pattern("..R-..R-..R-..R-", "..R-..R-..R-", "..R-....R-.."),
    "root-fifth": Pattern("R---....F---....", "R---........", "R---..F---.."),
    "walking": Pattern("R---T---F---A---", "R---T---A---", "R---T-F---A-"),
    "bossa": Pattern("R-----F-F-----R-", "R-----F-R---", "R---F-F---R-"),
    "funk": Pattern("R-.R..O-..R-.RA-", "R-.R..O-R-A-", "R-.R-.O-.R-A"),
    "reggae": Pattern("....R-R-..F-T-R-", "....R-R-F-R-", "..R-R-..F-R-"),
    "sub": Pattern("R-----..R-R-....", "R-----..R-..", "R-----R---.."),
    "ballad": Pattern("R-----R-F-------", "R-----R-F---", "R---R-F-----"),
}
CHORDS = {
    "whole": Pattern("X---------------", "X-----------", "X-----------"),
    "half": Pattern("X-------X-------", "X-------X---", "X-----X-----"),
    "quarters": Pattern("X-..X-..X-..X-..", "X-..X-..X-..", "X-..X-X-..X-"),
    "eighths": Pattern("X-X-X-X-X-X-X-X-", "X-X-X-X-X-X-", "X-X-X-X-X-X-"),
    "afterbeat": Pattern("....X-......X-..", "....X-..X-..", "..X-X-..X-X-"),
    "skank": Pattern("....X.......X...", "....X...X...", "..X-....X-.."),
    "offbeat": Pattern("..X-..X-..X-..X-", "..X-..X-..X-", "..X-....X-.."),
    "push": Pattern("X-----X-----X---", "X-----X-X---", "X-----X-X---"),
    "charleston": Pattern("X-----X-........", "X-----X-....", "X---X-......"),
    "comp": Pattern("..X-......X-..X-", "X-....X-....", "X-....X-..X-"),
    "bossa": Pattern("X-....X-....X-..", "X-....X-..X-", "X-..X-....X-"),
    "strum": Pattern("X---X-X-..X-X-X-", "X---X-X-X-X-", "X---X-X---X-"),
    "funk": Pattern("X.X...XX..X...X.", "X.X...XX..X.", "X.X..XX..X.X"),
    "alberti": Pattern("0-2-1-2-0-2-1-2-", "0-2-1-2-1-2-", "0-1-2-1-2-1-"),
    "arpeggio": Pattern("0-1-2-3-2-1-2-1-", "0-1-2-3-2-1-", "0-1-2-3-2-1-"),
    "rolling": Pattern("0-1-2-3-0-1-2-3-", "0-1-2-0-1-2-", "0-1-2-0-1-2-"),
    "sixteenths": Pattern("0120312001203120", "012031200120", "012012012312"),
    "picking": Pattern("0-2-1-3-0-2-1-2-", "0-2-1-3-1-2-", "0-2-1-3-1-2-"),
}
KICK, RIM, SNARE, CLAP, CLOSED, PEDAL, OPEN, CRASH, RIDE, TAMBOURINE, COWBELL = (
    36,
    37,
    38,
    39,
    42,
    44,
    46,
    49,
    51,
    54,
    56,
)
LOW_TOM, MID_TOM, HIGH_TOM, HIGH_BONGO, LOW_CONGA, HIGH_CONGA, SHAKER, CLAVES, BRUSH_SWEEP = (
    45,
    47,
    50,
    60,
    64,
    63,
    70,
    75,
    40,
)
DRUMS: dict[str, tuple[dict[int, Pattern], ...]] = {
    "rock": (
        {KICK: Pattern("X.....x.X.......", "X.......x...", "X.....x....."),
         SNARE: Pattern("....X.......X...", "....x...X...", "......X....."),
         CLOSED: Pattern("X.x.X.x.X.x.X.x.", "X.x.X.x.X.x.", "X.x.x.X.x.x.")},
        {KICK: Pattern("X.x.......X.x...", "X.....x.....", "X...x......."),
         SNARE: Pattern("....X.......X...", "....X...X...", "......X....."),
         CLOSED: Pattern("X.x.X.x.X.x.X...", "X.x.X.x.X...", "X.x.x.X.x..."),
         OPEN: Pattern("..............x.", "..........x.", "..........x.")},
    ),
    "pop": (
        {KICK: Pattern("X.......X.x.....", "X...........", "X.........x."),
         SNARE: Pattern("....X.......X...", "....x...x...", "......X....."),
         CLOSED: Pattern("x.x.x.x.x.x.x.x.", "x.x.x.x.x.x.", "x.x.x.x.x.x."),
         TAMBOURINE: Pattern("....x.......x...", "........x...", "......x.....")},
        {KICK: Pattern("X.....x...x.....", "X.......x...", "X.....x....."),
         CLAP: Pattern("....X.......X...", "....x...x...", "......X....."),
         SHAKER: Pattern("x.o.x.o.x.o.x.o.", "x.o.x.o.x.o.", "x.o.o.x.o.o.")},
    ),
    "four on the floor": (
        {KICK: Pattern("X...X...X...X...", "X...X...X...", "X.....X....."),
         CLAP: Pattern("....X.......X...", "....X...X...", "......X....."),
         OPEN: Pattern("..x...x...x...x.", "..x...x...x.", "....x.....x."),
         CLOSED: Pattern("x.o.x.o.x.o.x.o.", "x.o.x.o.x.o.", "x.o.x.x.o.x.")},
        {KICK: Pattern("X...X...X...X...", "X...X...X...", "X.....X....."),
         SNARE: Pattern("....x.......x..o", "....x...x...", "......x....."),
         CLOSED: Pattern("..x...x...x...xo", "..x...x...x.", "..x.x...x.x.")},
    ),
    "swing": (
        {RIDE: Pattern("X...x.x.X...x.x.", "X...x.x.x...", "X...x.X...x."),
         PEDAL: Pattern("....x.......x...", "....x...x...", "......x....."),
         KICK: Pattern("o.......o.......", "o...........", "o..........."),
         SNARE: Pattern("......o.........", "..........o.", "..........o.")},
        {RIDE: Pattern("X...x.x.X...x.x.", "X...x.x.x.x.", "X...x.X...x."),
         PEDAL: Pattern("....x.......x...", "....x...x...", "......x....."),
         SNARE: Pattern("..o.......o...o.", "......o.....", "....o.......")},
    ),
    "shuffle": (
        {KICK: Pattern("X.......X.x.....", "X.......x...", "X.....x....."),
         SNARE: Pattern("....X.......X...", "....X...X...", "......X....."),
         CLOSED: Pattern("X.x.X.x.X.x.X.x.", "X.x.X.x.X.x.", "X...x.X...x.")},
    ),
    "funk": (
        {KICK: Pattern("X..x......x..x..", "X..x......x.", "X..x....x..."),
         SNARE: Pattern("....X..o.o..X..o", "....X..o.o..", "......X..o.o"),
         CLOSED: Pattern("x.xxx.x.x.xxx.x.", "x.xxx.x.x.x.", "x.x.xxx.x.x.")},
    ),
    "bossa": (
        {RIM: Pattern("x.....x.....x...", "x.....x.....", "x.....x..x.."),
         KICK: Pattern("X.....x.X.....x.", "X.....x.....", "X....xX....."),
         SHAKER: Pattern("x.o.x.o.x.o.x.o.", "x.o.x.o.x.o.", "x.o.o.x.o.o.")},
        {CLAVES: Pattern("x.....x.....x...", "x.....x.....", "x.....x....."),
         LOW_CONGA: Pattern("......x.......x.", "......x.....", "......x....."),
         HIGH_CONGA: Pattern("..x.....x.x.....", "..x.....x...", "..x.....x..."),
         KICK: Pattern("X.......X.......", "X...........", "X.....x.....")},
    ),
    "reggae": (
        {KICK: Pattern("........X.......", "........X...", "......X....."),
         RIM: Pattern("........x.......", "........x...", "......x....."),
         CLOSED: Pattern("x.x.x.x.x.x.x.x.", "x.x.x.x.x.x.", "x.x.x.x.x.x.")},
    ),
    "lofi": (
        {KICK: Pattern("X......x..X.....", "X......x....", "X.......x..."),
         SNARE: Pattern("....x.......x...", "....x...x...", "......x....."),
         CLOSED: Pattern("x.o.x.o.x.o.x.oo", "x.o.x.o.x.o.", "x.o.o.x.o.o.")},
    ),
    "train": (
        {KICK: Pattern("X...x...X...x...", "X...........", "X.....x....."),
         SNARE: Pattern("o.o.X.o.o.o.X.o.", "..o.X.o.X.o.", "o.o.o.X.o.o.")},
    ),
    "soft": (
        {KICK: Pattern("x...............", "x...........", "x..........."),
         RIM: Pattern("........x.......", "........o...", "......x....."),
         SHAKER: Pattern("o.o.x.o.o.o.x.o.", "o.o.x.o.x.o.", "o.o.o.x.o.o.")},
        {BRUSH_SWEEP: Pattern("....x.......x...", "....x...x...", "......x....."),
         KICK: Pattern("x.......o.......", "x...........", "x...........")},
    ),
}  # fmt: skip
FILLS = (
    {SNARE: Pattern("........x.x.x.x.", "......x.x.x.", "......x.x.x.")},
    {HIGH_TOM: Pattern("........x.x.....", "....x.x.....", "......x....."),
     MID_TOM: Pattern("............x.x.", "........x.x.", "........x..."),
     LOW_TOM: Pattern("...............x", "...........x", "..........x.")},
    {SNARE: Pattern("............xxxx", "........xxxx", "........x.xx")},
)  # fmt: skip
