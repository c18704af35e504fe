"""`phonogram compose` and `phonogram music`, as a person types them."""

import json

import pytest
from typer.testing import CliRunner

from backend.audio.files import read_audio
from backend.cli.main import app
from backend.errors import BadCheckpoint, BadRequest, OutputError


def run(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_compose_writes_sound_stems_and_midi(tmp_path):
    pytest.importorskip("midirenderer")
    out, midi, stems = tmp_path / "jazz.wav", tmp_path / "jazz.mid", tmp_path / "stems"
    words = (
        "compose",
        "Upbeat jazz with saxophone and kazoo",
        "--duration",
        5,
        "-o",
        out,
        "--midi",
        midi,
        "--stems",
        stems,
    )
    result = run(*words, "--tempo", 132, "--key", "Bb major", "--seed", 4, "--json")
    labels = json.loads(result.stdout)
    assert (labels["tempo_bpm"], labels["key"], labels["not_understood"]) == (132, "Bb major", ["kazoo"])
    assert read_audio(out).duration_s == pytest.approx(5)
    assert midi.read_bytes()[:4] == b"MThd"
    assert len(list(stems.iterdir())) == len(labels["parts"])
    with pytest.raises(OutputError, match="overwrite"):
        run(*words)


@pytest.mark.parametrize("wrong", [("--tempo", 20), ("--key", "H major"), ("--meter", "7/8"), ("--engine", "magic")])
def test_compose_rejects_what_it_cannot_do_before_it_starts(tmp_path, wrong):
    with pytest.raises(BadRequest, match="expected"):
        run("compose", "jazz", "-o", tmp_path / "a.wav", *wrong)
    assert not list(tmp_path.iterdir())


def test_cutting_a_missing_soundfont_is_refused(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"none\.sf3"):
        run("music", "cut-soundfont", tmp_path / "none.sf3", "-o", tmp_path / "out.sf3")


def test_interactive_compose_writes_a_numbered_file_a_line(tmp_path):
    pytest.importorskip("midirenderer")
    words = ["compose", "--interactive", "--duration", "4", "-o", str(tmp_path / "take.wav")]
    result = CliRunner().invoke(app, words, input="calm piano\n\nfast rock, 20 minutes, 3/4\nquit\nnever\n")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take-1.wav", "take-2.wav", "take-3.wav"]
    takes = [read_audio(tmp_path / f"take-{n}.wav").samples for n in (1, 2)]
    assert takes[0].shape == takes[1].shape and (takes[0] != takes[1]).any()
    with pytest.raises(BadRequest, match="no description"):
        run("compose", "-o", tmp_path / "a.wav")
