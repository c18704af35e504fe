"""Text to music by the score engine: what was asked for, in labels, MIDI and samples."""

import io
from itertools import product

import mido
import numpy as np
import pytest

from backend.audio.loudness import loudness_lufs
from backend.audio.waveform import Waveform
from backend.errors import BadRequest, Cancelled
from backend.music.composer import compose
from backend.music.theory import PITCH_NAMES
from backend.pipeline.music.engine import MusicRequest, PromptChange
from backend.pipeline.music.engines import ENGINES, resolve_engine
from backend.pipeline.music.score_engine import ScoreEngine, composition_of

GENRES = ("jazz", "rock", "classical", "electronic", "folk", "pop", "ambient", "blues", "latin", "funk")


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("midirenderer")
    return ScoreEngine()


def test_tempo_key_and_meter_are_exact_in_a_hundred_prompts():
    """Keys in all 24, tempi over the whole range; read from the MIDI file by another library, not from our labels."""
    from backend.music.midi import to_midi

    cases = list(product(range(12), ("major", "minor"), ("4/4", "3/4", "6/8"), range(60, 181, 24)))[::4]
    assert len(cases) >= 100
    for i, (tonic, mode, meter, tempo) in enumerate(cases):
        text = f"{GENRES[i % len(GENRES)]} in {PITCH_NAMES[tonic]} {mode}, {meter}, {tempo} bpm"
        composition, not_understood = composition_of(MusicRequest(text, seed=i, duration_s=8))
        score = compose(composition)
        assert not_understood == ()
        head = mido.MidiFile(file=io.BytesIO(to_midi(score))).tracks[0]
        meta = {message.type: message for message in head}
        quarters = mido.tempo2bpm(meta["set_tempo"].tempo)
        assert quarters / score.meter.beat_quarters == pytest.approx(tempo, rel=1e-4), text
        assert f"{meta['time_signature'].numerator}/{meta['time_signature'].denominator}" == meter
        assert score.chords[-1].chord.root == tonic and (score.chords[-1].chord.quality == "m") == (mode == "minor")


def test_music_has_its_length_loudness_stems_and_midi(engine):
    music = engine.generate(MusicRequest("Upbeat jazz with saxophone and theremin", 6.0, seed=3, has_stems=True))
    assert (music.mix.rate_hz, music.mix.n_channels, music.mix.n_samples) == (44_100, 2, 264_600)
    assert loudness_lufs(music.mix) == pytest.approx(-16, abs=1.5)
    assert np.abs(music.mix.samples).max() <= 0.9
    assert music.labels["genre"] == "jazz" and "saxophone" in music.labels["instruments"]
    assert music.not_understood == ("theremin",)
    assert [name.split("-", 1)[1].replace("-", " ") for name, _ in music.stems] == [
        p.instrument for p in music.score.parts
    ]
    assert np.abs(sum(stem.samples for _, stem in music.stems) - music.mix.samples).max() < 1e-5
    assert mido.MidiFile(file=io.BytesIO(music.midi)).length > 4.5


def test_the_same_request_gives_the_same_samples(engine):
    request = MusicRequest("calm piano", 4.0, seed=11)
    first, second = engine.generate(request), engine.generate(request)
    assert np.array_equal(first.mix.samples, second.mix.samples) and first.midi == second.midi
    assert not np.array_equal(first.mix.samples, engine.generate(MusicRequest("calm piano", 4.0, seed=12)).mix.samples)


def test_what_is_given_beside_the_text_wins():
    composition, _ = composition_of(MusicRequest("fast waltz in A minor, 20 seconds", 9.0, 0, 77, "C major", "6/8"))
    assert (composition.tempo_bpm, composition.key.name, composition.meter.name, composition.duration_s) == (
        77,
        "C major",
        "6/8",
        9,
    )
    assert composition.tempo_range is None


@pytest.mark.parametrize(
    "wrong", [{"tempo_bpm": 30}, {"key": "H"}, {"meter": "9/16"}, {"duration_s": 0.5}, {"text": ""}]
)
def test_impossible_requests_are_rejected(wrong):
    with pytest.raises(BadRequest):
        composition_of(MusicRequest(**{"text": "jazz", **wrong}))


def test_chunks_joined_are_the_whole_piece_bit_for_bit(engine):
    request = MusicRequest("rock with electric guitar", 9.0, seed=2, has_stems=True)
    whole = engine.generate(request)
    chunks = list(engine.begin(request))
    assert len(chunks) > 2
    assert np.array_equal(np.concatenate([chunk.mix.samples for chunk in chunks], axis=1), whole.mix.samples)
    for i, (_, stem) in enumerate(whole.stems):
        assert np.array_equal(np.concatenate([chunk.stems[i].samples for chunk in chunks], axis=1), stem.samples)


def test_a_cancelled_stream_ends_at_the_next_chunk(engine):
    stream = engine.begin(MusicRequest("ambient pads", 40.0))
    chunks = iter(stream)
    next(chunks)
    stream.cancel()
    with pytest.raises(Cancelled):
        list(chunks)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"loudness_lufs": 0.0}])
def test_values_out_of_range_are_rejected(wrong):
    with pytest.raises(BadRequest, match="expected"):
        MusicRequest("jazz", **wrong)


def test_endless_music_goes_on_without_gaps_in_the_same_key_and_tempo(engine):
    stream = engine.begin(MusicRequest("fast jazz trio", seed=4, is_endless=True))
    place, pieces = 0, []
    for chunk in stream:
        assert round(chunk.start_s * 44_100) == place
        place += chunk.mix.n_samples
        pieces += [chunk.facts] if chunk.facts else []
        if len(pieces) == 2:
            break
    first, second = (piece.labels for piece in pieces)
    assert place > 55 * 44_100 and first["seed"] != second["seed"]
    for name in ("tempo_bpm", "key", "meter", "genre"):
        assert first[name] == second[name]
    with pytest.raises(BadRequest, match="no whole"):
        engine.generate(MusicRequest("jazz", is_endless=True))


def test_a_prompt_change_begins_at_the_next_segment_and_keeps_the_length(engine):
    change = PromptChange(3.0, "calm piano in C minor, 70 bpm")
    request = MusicRequest("rock in E major, 150 bpm", 10.0, seed=2, prompt_changes=(change,))
    chunks = list(engine.begin(request))
    pieces = [chunk for chunk in chunks if chunk.facts]
    assert [piece.facts.labels["key"] for piece in pieces] == ["E major", "C minor"]
    assert 3.0 <= pieces[1].start_s < 9.0
    assert sum(chunk.mix.n_samples for chunk in chunks) == 441_000
    unchanged = engine.generate(MusicRequest("rock in E major, 150 bpm", 10.0, seed=2)).mix.samples
    n_same = round((pieces[1].start_s - 0.3) * 44_100)
    joined = np.concatenate([chunk.mix.samples for chunk in chunks], axis=1)
    assert np.array_equal(joined[:, :n_same], unchanged[:, :n_same])


def test_a_prompt_changes_while_it_plays(engine):
    stream = engine.begin(MusicRequest("calm piano, 60 bpm", seed=1, is_endless=True))
    chunks = iter(stream)
    next(chunks)
    stream.change_prompt("techno, 140 bpm")
    found = next(chunk for chunk in chunks if chunk.facts)
    assert found.facts.labels["tempo_bpm"] == 140 and found.start_s < 12
    with pytest.raises(BadRequest, match="empty"):
        stream.change_prompt(" ")


def test_overrides_and_quality_reach_the_composer():
    request = MusicRequest("fast jazz", instruments=("violin", "cello"), mood="sad", genre="folk", quality="fast")
    composition, _ = composition_of(request)
    assert (composition.instruments, composition.mood, composition.genre) == (("violin", "cello"), "sad", "folk")
    assert composition.n_parts == 3


def test_engines_reject_what_they_cannot_do_and_name_what_has_no_effect(engine):
    sound = Waveform(np.zeros((1, 100), np.float32), 32_000)
    with pytest.raises(BadRequest, match="no continuation"):
        engine.begin(MusicRequest("jazz", continuation=sound))
    assert engine.begin(MusicRequest("jazz", guidance=3.0, top_k=50)).ignored == ("guidance", "top_k")
    with pytest.raises(BadRequest, match="Stems need one piece"):
        MusicRequest("jazz", has_stems=True, is_endless=True)


def test_auto_takes_an_engine_that_is_here_and_unknown_names_are_rejected():
    assert resolve_engine("auto") in ENGINES
    with pytest.raises(BadRequest, match="expected auto, score"):
        resolve_engine("nothing")
