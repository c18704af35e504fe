"""Scores as Standard MIDI Files, written and read by mido."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from backend.errors import BadAudio, LimitExceeded
from backend.music.instruments import INSTRUMENTS
from backend.music.score import Note, Part, Score, TempoChange
from backend.music.theory import METERS, PITCH_NAMES, Key, Meter

TICKS_A_QUARTER = 480
DRUM_CHANNEL = 9
MAX_PARTS = 15
MAX_MIDI_BYTES = 4 * 2**20
MIDI_MODES = {"major": "", "minor": "m"}


def to_midi(score: Score, controls: Mapping[int, Mapping[int, int]] | None = None, has_names: bool = True) -> bytes:
    """A MIDI file of type 1: tempo, meter and key, then one track a part.

    `controls`: for a part's index, controller numbers and values sent before its first note. Raises `LimitExceeded`
    for more parts than MIDI has channels.
    """
    import mido

    n_pitched = sum(not _is_drums(part) for part in score.parts)
    if n_pitched > MAX_PARTS:
        raise LimitExceeded(f"{n_pitched} parts need a channel each; MIDI has {MAX_PARTS}. Leave some out.")
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_A_QUARTER)
    head = mido.MidiTrack()
    file.tracks.append(head)
    if has_names and score.title:
        head.append(mido.MetaMessage("track_name", name=_latin(score.title)))
    head.append(
        mido.MetaMessage("time_signature", numerator=score.meter.numerator, denominator=score.meter.denominator)
    )
    if score.key is not None:
        head.append(mido.MetaMessage("key_signature", key=_signature(score.key)))
    place = 0
    for change in _tempos(score):
        tick = _tick(change.start)
        tempo = round(60e6 / (change.tempo_bpm * score.meter.beat_quarters))
        head.append(mido.MetaMessage("set_tempo", tempo=min(tempo, 0xFFFFFF), time=tick - place))
        place = tick
    channel = 0
    for i, part in enumerate(score.parts):
        track = mido.MidiTrack()
        file.tracks.append(track)
        if has_names:
            track.append(mido.MetaMessage("track_name", name=_latin(part.instrument)))
        own = DRUM_CHANNEL if _is_drums(part) else channel
        if own == channel:
            channel += 2 if channel + 1 == DRUM_CHANNEL else 1
        program = INSTRUMENTS[part.instrument].program
        track.append(mido.Message("program_change", channel=own, program=program))
        for control, value in (controls or {}).get(i, {}).items():
            track.append(mido.Message("control_change", channel=own, control=control, value=value))
        place = 0
        for tick, _, kind, pitch, velocity in sorted(_events(part)):
            track.append(mido.Message(kind, channel=own, note=pitch, velocity=velocity, time=tick - place))
            place = tick
    content = io.BytesIO()
    file.save(file=content)
    return content.getvalue()


def _events(part: Part) -> list[tuple[int, int, str, int, int]]:
    """(tick, order, kind, pitch, velocity): at one tick, notes end before others begin."""
    found = []
    for note in part.notes:
        start = _tick(note.start)
        found.append((start, 1, "note_on", note.pitch, note.velocity))
        found.append((max(start + 1, _tick(note.end)), 0, "note_off", note.pitch, 0))
    return found


def _tick(quarters: float) -> int:
    return max(0, round(quarters * TICKS_A_QUARTER))


def _tempos(score: Score) -> list[TempoChange]:
    return [TempoChange(0.0, score.tempo_bpm), *score.tempo_changes]


def _is_drums(part: Part) -> bool:
    return INSTRUMENTS[part.instrument].is_drums


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _signature(key: Key) -> str:
    """MIDI knows major and minor only: other modes get the one with their third."""
    return PITCH_NAMES[key.tonic].replace("Ab", "G#" if key.is_minor else "Ab") + ("m" if key.is_minor else "")


def from_midi(source: Path | bytes) -> Score:
    """The notes of a MIDI file with its first tempo, meter and key, tempo changes included.

    Programs without an instrument of that number here become the piano. Raises `BadAudio` for other content.
    """
    import mido

    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    if len(content) > MAX_MIDI_BYTES:
        raise LimitExceeded(f"The MIDI file has {len(content)} bytes; the limit is {MAX_MIDI_BYTES}.")
    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise BadAudio("The content is no Standard MIDI File. Export it again.") from error
    by_program = {(i.bank == 128, i.program): i.name for i in INSTRUMENTS.values()}
    notes: defaultdict[tuple[int, int, int], list[Note]] = defaultdict(list)
    tempos: list[tuple[float, int]] = []
    meter, key = METERS[0], None
    for track_index, track in enumerate(file.tracks):
        place = 0
        programs: dict[int, int] = {}
        sounding: defaultdict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
        for message in track:
            place += message.time
            at = place / file.ticks_per_beat
            if message.type == "set_tempo":
                tempos.append((at, message.tempo))
            elif message.type == "time_signature" and at == 0:
                meter = Meter(message.numerator, message.denominator)
            elif message.type == "key_signature" and at == 0:
                key = Key.parse(message.key)
            elif message.type == "program_change":
                programs[message.channel] = message.program
            elif message.type == "note_on" and message.velocity:
                sounding[message.channel, message.note].append((at, message.velocity))
            elif message.type in ("note_on", "note_off") and sounding[message.channel, message.note]:
                start, velocity = sounding[message.channel, message.note].pop(0)
                part = (track_index, message.channel, programs.get(message.channel, 0))
                notes[part].append(Note(start, at - start, message.note, velocity))
    parts = []
    for (_, channel, program), own in sorted(notes.items()):
        name = by_program.get((channel == DRUM_CHANNEL, program), "drums" if channel == DRUM_CHANNEL else "piano")
        parts.append(
            Part(name, "drums" if channel == DRUM_CHANNEL else "other", tuple(sorted(own, key=lambda n: n.start)))
        )
    tempos = sorted(tempos) or [(0.0, 500_000)]
    bpm = [60e6 / tempo / meter.beat_quarters for _, tempo in tempos]
    end = max((note.end for part in parts for note in part.notes), default=0.0)
    return Score(
        bpm[0], meter, key, tuple(parts), max(1, -(-int(end * 1000) // int(meter.bar_quarters * 1000))),
        tempo_changes=tuple(TempoChange(at, value) for (at, _), value in zip(tempos[1:], bpm[1:], strict=True)),
    )  # fmt: skip
