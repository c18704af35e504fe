"""Corpora of renders: resumable, seeded, split by seed and composer."""

import json

import numpy as np
import pytest

pytest.importorskip("midirenderer")

from backend.audio.files import read_audio
from backend.errors import OutputError
from backend.music.midi import from_midi
from backend.music.rendering import Renderer
from backend.pipeline.music.render_corpus import (
    CorpusOptions,
    ScoreFile,
    read_manifest,
    render_composed,
    render_scores,
    split_of_composer,
    split_of_seed,
)

OPTIONS = CorpusOptions(minutes=0.25, rate_hz=16_000, clip_s=(4.5, 6.0), first_seed=17)
MUSICXML = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Voice</part-name></score-part>
<score-part id="P2"><part-name>Piano</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>2</divisions><time><beats>3</beats><beat-type>4</beat-type></time>
<clef><sign>G</sign><line>2</line></clef></attributes><direction><sound tempo="90"/></direction>
<note><pitch><step>C</step><octave>5</octave></pitch><duration>4</duration></note>
<note><pitch><step>E</step><octave>5</octave></pitch><duration>2</duration></note></measure>
<measure number="2"><note><pitch><step>G</step><octave>5</octave></pitch><duration>6</duration></note></measure></part>
<part id="P2"><measure number="1"><attributes><divisions>2</divisions><time><beats>3</beats><beat-type>4</beat-type></time>
</attributes><note><pitch><step>C</step><octave>3</octave></pitch><duration>6</duration></note></measure>
<measure number="2"><note><pitch><step>C</step><octave>3</octave></pitch><duration>6</duration></note>
<note><chord/><pitch><step>G</step><octave>3</octave></pitch><duration>6</duration></note></measure></part></score-partwise>
"""


@pytest.fixture(scope="module")
def renderer():
    return Renderer()


def test_a_corpus_has_sound_midi_and_labels_and_goes_on_where_it_was(tmp_path, renderer):
    seen = []
    n = render_composed(tmp_path, renderer, OPTIONS, lambda done, total: seen.append((done, total)))
    rows = read_manifest(tmp_path / "manifest.jsonl")
    assert n == len(rows) == len(seen) >= 2
    assert {row["split"] for row in rows} == {"train", "heldout"}
    for row in rows:
        sound = read_audio(tmp_path / row["path"])
        assert (sound.rate_hz, sound.n_channels) == (16_000, 1)
        assert sound.duration_s == pytest.approx(row["duration_s"], abs=1e-3)
        assert 0.01 < np.abs(sound.samples).max() <= 1
        assert from_midi(tmp_path / row["midi"]).tempo_bpm == pytest.approx(row["labels"]["tempo_bpm"], rel=1e-3)
        assert row["path"].startswith(row["split"]) and row["captions"]
    assert render_composed(tmp_path, renderer, OPTIONS) == 0
    more = render_composed(
        tmp_path, renderer, CorpusOptions(minutes=0.4, rate_hz=16_000, clip_s=(4.5, 6.0), first_seed=17)
    )
    assert more >= 1 and len({row["id"] for row in read_manifest(tmp_path / "manifest.jsonl")}) == n + more


def test_the_same_seeds_give_the_same_bytes(tmp_path, renderer):
    small = CorpusOptions(minutes=0.08, rate_hz=16_000, clip_s=(4.5, 6.0), format="wav")
    for name in ("a", "b"):
        render_composed(tmp_path / name, renderer, small)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert files
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_a_torn_line_is_dropped_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"id": "x"}) + "\n" + '{"id": "y')
    assert read_manifest(path) == [{"id": "x"}]
    assert path.read_text() == json.dumps({"id": "x"}) + "\n"
    path.write_text("no json\n")
    with pytest.raises(OutputError, match="JSON"):
        read_manifest(path)


def test_splits_are_by_seed_and_by_composer():
    assert [seed for seed in range(60) if split_of_seed(seed) == "heldout"] == [19, 39, 59]
    names = [f"Composer {i}" for i in range(400)]
    share = sum(split_of_composer(name) == "heldout" for name in names) / len(names)
    assert 0.05 < share < 0.16
    assert split_of_composer("Clara  Schumann ") == split_of_composer("clara  schumann")


def test_scores_are_read_arranged_and_rendered_and_broken_ones_skipped(tmp_path, renderer):
    pytest.importorskip("music21")
    (tmp_path / "good.musicxml").write_text(MUSICXML)
    (tmp_path / "bad.musicxml").write_text("<html/>")
    files = [ScoreFile(tmp_path / f"{name}.musicxml", "Somebody", name, "CC0-1.0") for name in ("bad", "good")]
    options = CorpusOptions(minutes=0.1, rate_hz=16_000, clip_s=(4.5, 6.0))
    assert render_scores(tmp_path / "out", renderer, options, files) >= 1
    for row in read_manifest(tmp_path / "out" / "manifest.jsonl"):
        assert row["source"] == {"file": "good.musicxml", "composer": "Somebody", "title": "good", "license": "CC0-1.0"}
        assert row["labels"]["meter"] == "3/4" and row["labels"]["tempo_bpm"] == 90 and row["labels"]["key"] is None
        assert [part["n_notes"] for part in row["labels"]["parts"]] == [3, 3]
