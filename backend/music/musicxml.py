"""MusicXML files as scores, read by music21."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from backend.errors import BadAudio, NotAvailable
from backend.music.score import Note, Part, Score, TempoChange
from backend.music.theory import METERS, Meter

if TYPE_CHECKING:
    from collections.abc import Iterable

DYNAMICS = {"ppp": 30, "pp": 42, "p": 55, "mp": 68, "mf": 80, "f": 95, "ff": 110, "fff": 120}
GRACE_QUARTERS = 0.125
DEFAULT_BPM = 92.0
# By the part's name in the file; the first that fits. Voices become whatever `arranged` chooses.
PART_INSTRUMENTS = (
    ("piano", "piano"), ("klavier", "piano"), ("pianoforte", "piano"), ("violoncello", "cello"), ("cello", "cello"),
    ("viola", "strings"), ("violin", "violin"), ("contrabass", "double bass"), ("guitar", "nylon guitar"), ("harp", "harp"),
    ("flute", "flute"), ("clarinet", "clarinet"), ("oboe", "oboe"), ("bassoon", "bassoon"), ("horn", "french horn"),
    ("organ", "organ"),
)  # fmt: skip
SINGERS = ("choir", "violin", "flute", "oboe", "clarinet", "cello", "saxophone", "trumpet", "french horn", "recorder")
KEYBOARDS = ("piano", "piano", "piano", "harp", "electric piano", "nylon guitar", "harpsichord", "organ")


def read_musicxml(path: Path) -> Score:
    """The notes, tempi and dynamics of a .mxl or .musicxml file, repeats played once. `key` is not known.

    Raises `NotAvailable` without music21 and `BadAudio` for a file it cannot read.
    """
    try:
        import music21
    except ImportError as error:
        raise NotAvailable(
            "MusicXML files are read by music21, which is not installed. Install `pip install 'phonogram[train]'`."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = music21.converter.parseFile(str(path), forceSource=True, storePickle=False)
            content = content.toSoundingPitch()
            parts = [_part(part, music21) for part in content.parts]
            meter = _meter(content)
            tempos = _tempos(content, meter)
    except (music21.exceptions21.Music21Exception, ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise BadAudio(
            f"'{path.name}' cannot be read as MusicXML ({type(error).__name__}). Export it again."
        ) from error
    parts = _merged(part for part in parts if part.notes)
    if not parts:
        raise BadAudio(f"'{path.name}' holds no notes. Choose another score.")
    end = max(note.end for part in parts for note in part.notes)
    metadata = content.metadata
    return Score(
        tempos[0].tempo_bpm, meter, None, tuple(parts), max(1, -(-int(end * 1000) // int(meter.bar_quarters * 1000))),
        tempo_changes=tuple(tempos[1:]), title=(metadata.title if metadata else None) or "",
        composer=(metadata.composer if metadata else None) or "",
    )  # fmt: skip


def _part(part: Any, music21: Any) -> Part:
    name = (part.partName or "").lower()
    instrument = next((ours for word, ours in PART_INSTRUMENTS if word in name), "voice")
    flat = part.stripTies().flatten()
    loudness = sorted(
        (float(mark.offset), DYNAMICS[mark.value])
        for mark in flat.getElementsByClass("Dynamic")
        if mark.value in DYNAMICS
    )
    notes: list[Note] = []
    at = -1
    for element in flat.notes:
        if isinstance(element, music21.harmony.ChordSymbol):
            continue
        start, length = float(element.offset), float(element.quarterLength) or GRACE_QUARTERS
        while at + 1 < len(loudness) and loudness[at + 1][0] <= start:
            at += 1
        velocity = loudness[at][1] if at >= 0 else 75
        if hasattr(element, "pitches"):
            notes += [Note(start, length, pitch.midi, velocity) for pitch in element.pitches]
    return Part(instrument, "melody" if instrument == "voice" else "other", tuple(notes))


def _merged(parts: Iterable[Part]) -> list[Part]:
    """The staves of one keyboard as one part."""
    found: list[Part] = []
    for part in parts:
        if found and part.instrument in ("piano", "organ", "harp") and found[-1].instrument == part.instrument:
            notes = tuple(sorted((*found[-1].notes, *part.notes), key=lambda n: (n.start, n.pitch)))
            found[-1] = replace(found[-1], notes=notes)
        else:
            found.append(part)
    return found


def _meter(content: Any) -> Meter:
    for signature in content.recurse().getElementsByClass("TimeSignature"):
        found = Meter(int(signature.numerator), int(signature.denominator))
        return found if found.denominator in (1, 2, 4, 8, 16) else METERS[0]
    return METERS[0]


def _tempos(content: Any, meter: Meter) -> list[TempoChange]:
    changes: list[TempoChange] = []
    for start, _, mark in content.metronomeMarkBoundaries():
        quarters = mark.getQuarterBPM() if mark is not None else None
        bpm = min(max(float(quarters or DEFAULT_BPM), 20.0), 300.0) / meter.beat_quarters
        changes.append(TempoChange(float(start), bpm))
    if not changes or changes[0].start > 0:
        changes.insert(0, TempoChange(0.0, DEFAULT_BPM / meter.beat_quarters))
    return changes


def arranged(score: Score, seed: int) -> Score:
    """The score for instruments chosen by the seed: singers by a melody instrument, keyboards mostly by a piano."""
    rng = Random(f"{seed}/arrangement")
    singer, keyboard = rng.choice(SINGERS), rng.choice(KEYBOARDS)
    is_strings = rng.random() < 0.35
    parts = []
    for part in score.parts:
        name = part.instrument
        if name == "voice":
            name = singer
        elif name == "piano":
            name = keyboard
        elif name in ("violin", "cello") and is_strings:
            name = "strings"
        parts.append(replace(part, instrument=name))
    return score.with_parts(parts)


def excerpt(score: Score, duration_s: float, seed: int) -> Score:
    """Whole bars of about `duration_s`, from a place chosen by the seed; the whole score where it is shorter."""
    if score.duration_s <= duration_s:
        return score
    rng = Random(f"{seed}/excerpt")
    bar = score.meter.bar_quarters
    latest = next(
        (b for b in range(score.n_bars - 1, 0, -1) if score.time_s(b * bar) <= score.duration_s - duration_s), 0
    )
    first = rng.randint(0, latest)
    start_s = score.time_s(first * bar)
    last = next(
        (b for b in range(first + 1, score.n_bars) if score.time_s(b * bar) - start_s >= duration_s), score.n_bars
    )
    start, end = first * bar, last * bar
    tempos = [change for change in (TempoChange(0.0, score.tempo_bpm), *score.tempo_changes) if change.start < end]
    before = [change for change in tempos if change.start <= start][-1]
    after = tuple(TempoChange(change.start - start, change.tempo_bpm) for change in tempos if change.start > start)
    parts = (
        replace(
            part,
            notes=tuple(
                replace(n, start=n.start - start, duration=min(n.duration, end - n.start))
                for n in part.notes
                if start <= n.start < end
            ),
        )
        for part in score.parts
    )
    return replace(
        score, tempo_bpm=before.tempo_bpm, tempo_changes=after, n_bars=last - first,
        parts=tuple(part for part in parts if part.notes),
    )  # fmt: skip
