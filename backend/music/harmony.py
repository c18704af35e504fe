"""Chord progressions by grammar, and chords as notes with smooth voice leading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from random import Random

from backend.music.score import ChordSpan
from backend.music.theory import Chord, Key, Meter

# Four bars in roman numerals; two chords in one bar are joined by a space. Each family has phrases that end open
# (on a dominant or subdominant) and closed (on the tonic); a section is an open phrase and a closed one.
MAJOR_OPEN = {
    "pop": ("I|V|vi|IV", "I|vi|IV|V", "I|IV|vi|V", "I|iii|IV|V", "I|V|IV|V"),
    "folk": ("I|IV|I|V", "I|vi|ii|V", "I|V|I|V", "I|IV|ii|V"),
    "jazz": ("Imaj7|vi7|ii7|V7", "Imaj7|V7/ii|ii7|V7", "Imaj7 vi7|ii7 V7|iii7 V7/ii|ii7 V7", "Imaj7|IVmaj7|iii7 vi7|ii7 V7"),
    "classical": ("I|V|vi|V", "I|IV|I|V", "I|ii|V7/V|V", "I|vi|IV|V", "I|I|ii|V7"),
    "blues": ("I7|IV7|I7|I7", "I7|I7|IV7|V7"),
    "ambient": ("Imaj7|Imaj7|IVmaj7|IVmaj7", "I|iii|IV|IV", "Imaj7|vi7|IVmaj7|V"),
    "loop": ("I|V|vi|IV", "I|vi|IV|V", "I|I|IV|V"),
}  # fmt: skip
MAJOR_CLOSED = {
    "pop": ("I|V|vi IV|I", "vi|IV|V|I", "IV|V|I|I", "I|vi|IV V|I"),
    "folk": ("I|IV|V|I", "IV|I|V7|I", "I|vi|ii V|I"),
    "jazz": ("ii7|V7|Imaj7|I6", "iii7 vi7|ii7 V7|Imaj7|I6", "Imaj7 V7/ii|ii7|V7|I6", "IVmaj7|ii7 V7|Imaj7 vi7|I6"),
    "classical": ("I|IV|V7|I", "vi|ii|V7|I", "I|ii V7|I V7|I", "IV|I|V7|I"),
    "blues": ("V7|IV7|I7|I7", "IV7|I7|V7|I7"),
    "ambient": ("Imaj7|IVmaj7|V|I", "vi7|IVmaj7|V|I"),
    "loop": ("I|vi|IV V|I", "IV|V|I|I"),
}
MINOR_OPEN = {
    "pop": ("i|VI|III|VII", "i|iv|VI|V", "i|VII|VI|V", "i|III|VII|iv V"),
    "folk": ("i|VII|i|V", "i|iv|i|V", "i|VII|VI|V"),
    "jazz": ("i7|VI7|iio7|V7", "i6|iv7|iio7|V7", "i7 VI7|iio7 V7|i7 VI7|iio7 V7"),
    "classical": ("i|iv|i|V", "i|VI|iv|V", "i|iio|V|V7", "i|V|i|V"),
    "blues": ("i7|iv7|i7|i7", "i7|i7|iv7|V7"),
    "ambient": ("i|i|VI|VI", "i|VII|VI|VII", "i|iv|VI|V"),
    "loop": ("i|VI|III|VII", "i|i|VI|VII", "i|iv|VI|V"),
}
MINOR_CLOSED = {
    "pop": ("i|VI|iv V|i", "VI|VII|i|i", "iv|V|i|i", "i|VI|V|i"),
    "folk": ("i|VII|V|i", "iv|i|V7|i", "VI|VII|V|i"),
    "jazz": ("iio7|V7|i7|i6", "iv7|iio7 V7|i7|i6", "i7 VI7|iio7|V7|i6"),
    "classical": ("i|iv|V7|i", "VI|iio|V7|i", "iv|i V7|i V7|i", "i|iio V7|i V7|i"),
    "blues": ("V7|iv7|i7|i7", "iv7|i7|V7|i7"),
    "ambient": ("i|VI|V|i", "iv|VI|V|i"),
    "loop": ("i|VI|iv V|i", "VI|V|i|i"),
}
FAMILIES = tuple(MAJOR_OPEN)
# Rewriting: a chord may be replaced by the ones behind it, which keep its function.
SUBSTITUTES = {
    "major": {"I": ("I", "I", "I", "vi"), "IV": ("IV", "IV", "ii"), "V": ("V", "V", "V7"), "ii": ("ii", "IV")},
    "minor": {"i": ("i",), "iv": ("iv", "iv", "iio"), "V": ("V", "V7"), "VI": ("VI", "VI", "iv"), "VII": ("VII",)},
}
DORIAN = {"iv": "IV", "iv7": "IV7", "VI": "IV", "iio": "ii", "iio7": "ii7", "VI7": "IV7"}
MIXOLYDIAN = {"V": "bVII", "V7": "bVII", "IVmaj7": "IVmaj7", "Imaj7": "I7", "iii": "v", "viio": "bVII"}


def phrase(family: str, key: Key, n_bars: int, is_closed: bool, rng: Random) -> list[list[Chord]]:
    """The chords of each of `n_bars` bars. A closed phrase ends on the tonic after a cadence."""
    kind = "minor" if key.is_minor else "major"
    table = {"major": (MAJOR_OPEN, MAJOR_CLOSED), "minor": (MINOR_OPEN, MINOR_CLOSED)}[kind][is_closed][family]
    bars = [bar.split() for bar in rng.choice(table).split("|")]
    if n_bars < len(bars):
        # Shorter phrases keep the end, where the cadence is.
        bars = bars[-n_bars:]
    while len(bars) < n_bars:
        bars.insert(0, [bars[0][0]])
    last = len(bars) - 1
    for i, bar in enumerate(bars):
        is_cadence = is_closed and i >= last - 1
        if i and not is_cadence and family not in ("jazz", "blues", "ambient"):
            bars[i] = [rng.choice(SUBSTITUTES[kind].get(numeral, (numeral,))) for numeral in bar]
    return [[_in_mode(numeral, key) for numeral in bar] for bar in bars]


def _in_mode(numeral: str, key: Key) -> Chord:
    if key.mode == "dorian":
        numeral = DORIAN.get(numeral, numeral)
    elif key.mode == "mixolydian":
        numeral = MIXOLYDIAN.get(numeral, numeral)
        # The mode's own seventh degree is the lowered one already.
        numeral = "VII" if numeral == "bVII" else numeral
    return key.chord(numeral)


def spans(bars: Sequence[Sequence[Chord]], meter: Meter) -> tuple[ChordSpan, ...]:
    """Bars of chords with their times; two chords divide a bar at a beat."""
    found = []
    for i, bar in enumerate(bars):
        start, length = i * meter.bar_quarters, meter.bar_quarters
        if len(bar) == 1:
            found.append(ChordSpan(start, length, bar[0]))
            continue
        first = (meter.n_beats + 1) // 2 * meter.beat_quarters
        found += [ChordSpan(start, first, bar[0]), ChordSpan(start + first, length - first, bar[1])]
    return tuple(found)


def voicings(chord: Chord, low: int, high: int, n_voices: int) -> list[tuple[int, ...]]:
    """Every way to sound `chord` between two keys in `n_voices` that names its third and leaves no wide gaps."""
    tones = chord.tones
    pitches = [pitch for pitch in range(low, high + 1) if pitch % 12 in tones]
    needed = set(tones[1:2]) | (set(tones[3:4]) if n_voices > 3 or len(tones) > 3 else set())
    found = []
    for notes in combinations(pitches, n_voices):
        classes = {note % 12 for note in notes}
        if not needed <= classes or len(classes) < min(n_voices, len(tones)):
            continue
        gaps = [above - below for below, above in pairwise(notes)]
        if max(gaps, default=0) > 9 or min(gaps, default=12) < 1:
            continue
        if gaps and notes[0] < 52 and gaps[0] < 4:
            continue  # close intervals are muddy down there
        found.append(notes)
    return found


def lead(chords: Sequence[Chord], low: int, high: int, n_voices: int, start: int) -> list[tuple[int, ...]]:
    """Chords as notes, each voice moving as little as it can. The first voicing lies around the key `start`."""
    led: list[tuple[int, ...]] = []
    cached: dict[tuple[Chord, tuple[int, ...]], tuple[int, ...]] = {}
    for chord in chords:
        options = voicings(chord, low, high, n_voices) or voicings(chord, low, high, max(2, n_voices - 1))
        if not options:
            options = [tuple(pitch for pitch in range(low, high + 1) if pitch % 12 in chord.tones)[:n_voices]]
        before = led[-1] if led else None
        place = (chord, before or ())
        if place not in cached:
            cached[place] = min(options, key=lambda notes: (_movement(before, notes, start), notes))
        led.append(cached[place])
    return led


def _movement(before: tuple[int, ...] | None, after: tuple[int, ...], centre: int) -> float:
    drift = abs(sum(after) / len(after) - centre)
    if before is None or len(before) != len(after):
        return drift
    cost = sum(abs(a - b) for a, b in zip(before, after, strict=True)) + 0.25 * max(0.0, drift - 4)
    outer = (after[-1] - after[0]) % 12, (before[-1] - before[0]) % 12
    if outer[0] == outer[1] and outer[0] in (0, 7) and after[0] != before[0]:
        cost += 5  # parallel fifths and octaves between the outer voices
    return cost
