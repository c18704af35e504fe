"""Scores as MIDI files, read back by ours and looked at with mido."""

import io

import mido
import pytest

from backend.errors import BadAudio, LimitExceeded
from backend.music.composer import CompositionRequest, compose
from backend.music.instruments import INSTRUMENTS
from backend.music.midi import DRUM_CHANNEL, from_midi, to_midi
from backend.music.performance import perform
from backend.music.score import Note, Part, Score, TempoChange
from backend.music.theory import Key, Meter

PIECES = [compose(CompositionRequest(seed=seed, duration_s=16)) for seed in range(12)]


def opened(content):
    return mido.MidiFile(file=io.BytesIO(content))


@pytest.mark.parametrize("score", PIECES, ids=lambda s: f"{s.genre}-{s.seed}")
def test_notes_tempo_meter_and_instruments_survive_the_round_trip(score):
    back = from_midi(to_midi(score))
    assert back.tempo_bpm == pytest.approx(score.tempo_bpm, rel=1e-4)
    assert back.meter == score.meter
    assert [part.instrument for part in back.parts] == [part.instrument for part in score.parts]
    for part, written in zip(back.parts, score.parts, strict=True):
        as_played = sorted((round(n.start, 2), n.pitch, n.velocity) for n in written.notes)
        assert sorted((round(n.start, 2), n.pitch, n.velocity) for n in part.notes) == as_played
        for got, expected in zip(sorted(n.end for n in part.notes), sorted(n.end for n in written.notes), strict=True):
            assert abs(got - expected) < 1 / 240 or part.role == "drums" or expected - got < 0.3


def test_another_library_reads_the_labels():
    score = compose(CompositionRequest(seed=2, tempo_bpm=93, key=Key.parse("Eb minor"), meter=Meter(3, 4)))
    file = opened(to_midi(perform(score)))
    meta = {message.type: message for message in file.tracks[0]}
    assert mido.tempo2bpm(meta["set_tempo"].tempo) == pytest.approx(93, rel=1e-4)
    assert (meta["time_signature"].numerator, meta["time_signature"].denominator) == (3, 4)
    assert meta["key_signature"].key == "Ebm"
    assert file.length == pytest.approx(score.duration_s, abs=2.0)
    assert [track.name for track in file.tracks[1:]] == [part.instrument for part in score.parts]


def test_drums_are_on_channel_ten_and_nothing_else_is():
    for score in PIECES:
        for track, part in zip(opened(to_midi(score)).tracks[1:], score.parts, strict=True):
            channels = {message.channel for message in track if message.type == "note_on"}
            assert (channels == {DRUM_CHANNEL}) == INSTRUMENTS[part.instrument].is_drums


def test_tempo_changes_are_kept():
    score = Score(
        80,
        Meter(6, 8),
        None,
        (Part("piano", "other", (Note(0, 12, 60, 70),)),),
        4,
        tempo_changes=(TempoChange(6, 120),),
    )
    assert score.time_s(6) == pytest.approx(6 / 1.5 / 80 * 60)
    assert score.duration_s == pytest.approx(6 / 1.5 / 80 * 60 + 6 / 1.5 / 120 * 60)
    assert opened(to_midi(score)).length == pytest.approx(score.duration_s, abs=0.01)
    back = from_midi(to_midi(score))
    assert [round(change.tempo_bpm, 2) for change in back.tempo_changes] == [120]


def test_every_key_can_be_written():
    for tonic in range(12):
        for mode in ("major", "minor", "dorian", "mixolydian"):
            score = Score(100, Meter(4, 4), Key(tonic, mode), (Part("piano", "other", (Note(0, 1, 60, 70),)),), 1)
            assert from_midi(to_midi(score)).key.tonic == tonic


def test_too_many_parts_and_foreign_content_are_rejected():
    part = Part("piano", "other", (Note(0, 1, 60, 70),))
    with pytest.raises(LimitExceeded, match="15"):
        to_midi(Score(100, Meter(4, 4), None, (part,) * 16, 1))
    for content in (b"", b"RIFF....", to_midi(Score(100, Meter(4, 4), None, (part,), 1))[:30]):
        with pytest.raises(BadAudio):
            from_midi(content)
