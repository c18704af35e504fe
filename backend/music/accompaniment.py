"""Bass lines, chords and sustained layers below a melody."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend.music.harmony import lead
from backend.music.instruments import GmInstrument
from backend.music.melody import nearest
from backend.music.patterns import BASS, CHORDS, hits
from backend.music.score import ChordSpan, Note
from backend.music.theory import Chord, Key, Meter

VELOCITY = 78


def spans_in(chords: Sequence[ChordSpan], start: float, end: float) -> list[ChordSpan]:
    return [span for span in chords if span.start < end - 1e-6 and span.end > start + 1e-6]


def bass_line(
    pattern: str,
    chords: Sequence[ChordSpan],
    key: Key,
    meter: Meter,
    bars: Sequence[int],
    bass: GmInstrument,
    rng: Random,
) -> list[Note]:
    """A bass line in the lower part of the instrument's range over the bars given; each chord begins on its root."""
    low, high = bass.low, min(bass.high, max(52, bass.low + 17))
    notes: list[Note] = []
    previous = (low + high) // 2 - 2
    for bar in bars:
        first = bar * meter.bar_quarters
        within = spans_in(chords, first, first + meter.bar_quarters)
        following = spans_in(chords, first + meter.bar_quarters, first + 2 * meter.bar_quarters)
        onsets = {span.start for span in within}
        bar_notes: list[Note] = []
        for hit in hits(BASS[pattern].bar(meter)):
            start = first + hit.offset
            span = next(s for s in reversed(within) if s.start <= start + 1e-6)
            after = next((s for s in [*within, *following] if s.start > start + 1e-6), span)
            what = "R" if start in onsets else hit.what
            pitch = _bass_pitch(what, span.chord, after.chord, key, previous, low, high, rng)
            bar_notes.append(Note(start, min(hit.length, span.end - start), pitch, VELOCITY))
            previous = pitch
        # A chord that begins between the pattern's notes gets its root too, in place of what was held there.
        for span in within:
            if span.start > first and not any(abs(note.start - span.start) < 1e-6 for note in bar_notes):
                if pattern in ("offbeat", "reggae"):
                    continue
                bar_notes = [n for n in bar_notes if not span.start < n.start < span.start + meter.beat_quarters]
                pitch = nearest(previous, (span.chord.root,), low, high)
                end = min((n.start for n in bar_notes if n.start > span.start), default=first + meter.bar_quarters)
                bar_notes.append(Note(span.start, end - span.start, pitch, VELOCITY))
        notes += sorted(bar_notes, key=lambda note: note.start)
    return notes


def _bass_pitch(
    what: str, chord: Chord, after: Chord, key: Key, previous: int, low: int, high: int, rng: Random
) -> int:
    tones = chord.tones
    if what == "F":
        return nearest(previous, (tones[-1] if len(tones) == 2 else tones[2],), low, high)
    if what == "T":
        return nearest(previous, (tones[1],), low, high)
    if what == "O":
        root = nearest(low + 5, (chord.root,), low, high)
        return root + 12 if root + 12 <= high else root
    if what == "A":
        goal = nearest(previous, (after.root,), low, high)
        scale = key.scale_over(chord)
        steps = [goal + d for d in (-1, 1, -2, 2) if low <= goal + d <= high and ((goal + d) % 12 in scale or d == -1)]
        return rng.choice(steps[:2]) if steps else goal
    return nearest(min(previous, low + 9), (chord.root,), low, high)


def chord_part(
    pattern: str, chords: Sequence[ChordSpan], meter: Meter, bars: Sequence[int], player: GmInstrument, n_voices: int
) -> list[Note]:
    """Chords or broken chords in the middle of the instrument's range, led from one to the next."""
    low, high = max(player.low, 47), max(min(player.high, 69), min(player.low + 16, player.high))
    voiced = lead([span.chord for span in chords], low, high, n_voices, max(57, low + 6))
    by_start = {span.start: notes for span, notes in zip(chords, voiced, strict=True)}
    notes: list[Note] = []
    for bar in bars:
        first = bar * meter.bar_quarters
        within = spans_in(chords, first, first + meter.bar_quarters)
        found = hits(CHORDS[pattern].bar(meter))
        onsets = {first + hit.offset for hit in found}
        events = [(first + hit.offset, hit.length, hit.what) for hit in found]
        if pattern in ("whole", "half", "push"):
            # A held chord changes with the harmony.
            events += [(s.start, s.duration, "X") for s in within if s.start > first and s.start not in onsets]
        for start, length, what in sorted(events):
            span = next(s for s in reversed(within) if s.start <= start + 1e-6)
            voicing = by_start[span.start]
            chosen = voicing if what == "X" else (voicing[min(int(what), len(voicing) - 1)],)
            end = min(start + length, span.end)
            notes += [Note(start, end - start, pitch, VELOCITY) for pitch in chosen]
    return notes


def pad_part(
    chords: Sequence[ChordSpan], player: GmInstrument, bars: Sequence[int], meter: Meter, n_voices: int = 3,
    keep: int | None = None,
) -> list[Note]:  # fmt: skip
    """Long chords; a tone that the next chord shares is held. `keep`: only this voice, counted from below."""
    low, high = max(player.low, 50), max(min(player.high, 74), min(player.low + 16, player.high))
    voiced = lead([span.chord for span in chords], low, high, n_voices, max(62, low + 6))
    wanted = set(bars)
    notes: list[Note] = []
    held: dict[int, Note] = {}
    for span, voicing in zip(chords, voiced, strict=True):
        if int(span.start / meter.bar_quarters + 1e-6) not in wanted:
            notes += held.values()
            held = {}
            continue
        new: dict[int, Note] = {}
        for pitch in voicing if keep is None else voicing[keep : keep + 1]:
            before = held.pop(pitch, None)
            joined = before is not None and abs(before.end - span.start) < 1e-6 and before.duration < 8
            if before is not None and joined:
                new[pitch] = Note(before.start, before.duration + span.duration, pitch, before.velocity)
            else:
                if before is not None:
                    notes.append(before)
                new[pitch] = Note(span.start, span.duration, pitch, VELOCITY - 10)
        notes += held.values()
        held = new
    notes += held.values()
    return sorted(notes, key=lambda note: (note.start, note.pitch))
