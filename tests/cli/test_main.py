import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from backend.audio.files import read_audio, write_audio
from backend.audio.waveform import Waveform
from backend.cli import main as cli
from backend.codec.registry import CODECS
from backend.compression.codes.header import ContainerHeader
from backend.weights import locate, save_codec
from tests.support.mutations import mutations
from tests.support.tiny_codecs import REGISTERED, TinyCodec


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a codec on the shelf and two sounds, and nothing else to find."""
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    monkeypatch.setattr(locate, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    save_codec(tmp_path / "checkpoints" / "small", TinyCodec(lag=24))
    for name, seed in (("a", 1), ("b", 2)):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 30_000)).astype(np.float32)
        write_audio(tmp_path / f"{name}.wav", Waveform(samples, 8000))
    return tmp_path


def phonogram(monkeypatch, *arguments):
    """The exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["phonogram", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code or 0


def test_encode_decode_keeps_the_length(place, monkeypatch, capsys):
    assert phonogram(monkeypatch, "encode", "a.wav", "-o", "a.pgc", "--codec", "small") == 0
    assert phonogram(monkeypatch, "decode", "a.pgc", "-o", "back.wav", "--codec", place / "checkpoints/small") == 0
    assert read_audio(place / "back.wav").samples.shape == (1, 30_000)
    capsys.readouterr()
    assert phonogram(monkeypatch, "info", "a.pgc", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["duration_s"] == 3.75 and facts["n_frames"] == 1877 and facts["n_codebooks"] == 3
    assert facts["file_bytes"] == (place / "a.pgc").stat().st_size
    assert facts["file_kbps"] == pytest.approx(facts["file_bytes"] * 8 / 3750)
    assert facts["payload_bytes"] == 2816  # 12 bits a frame: 3 blocks of 512 frames and one of 341
    assert phonogram(monkeypatch, "info", "a.pgc") == 0
    assert "payload_kbps" in capsys.readouterr().out


def test_progress_bar_is_shown_on_a_terminal_only(place, monkeypatch, capsys):
    arguments = ("encode", "a.wav", "-o", "a.pgc", "--codec", "small", "--overwrite")
    assert phonogram(monkeypatch, *arguments) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert phonogram(monkeypatch, *arguments) == 0
    assert "encoding" in capsys.readouterr().err


def test_existing_output_needs_overwrite(place, monkeypatch, capsys):
    (place / "a.pgc").write_bytes(b"precious")
    assert phonogram(monkeypatch, "encode", "a.wav", "-o", "a.pgc", "--codec", "small") == 2
    assert (place / "a.pgc").read_bytes() == b"precious"
    assert "exists already" in capsys.readouterr().err
    assert phonogram(monkeypatch, "encode", "a.wav", "-o", "a.pgc", "--codec", "small", "--overwrite") == 0
    assert (place / "a.pgc").read_bytes()[:4] == b"\x89PGC"


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("encode", "a.wav", "-o", "x.pgc"), "has no 'spectral-24k'"),
        (("encode", "a.wav", "-o", "x.pgc", "--codec", "none"), "available checkpoints: small"),
        (("encode", "a.wav", "-o", "x.pgc", "--codec", "x" * 5000), "neither a folder"),
        (("encode", "a.wav", "-o", "x" * 5000, "--codec", "small"), "cannot be written"),
        (("encode", "a.wav", "-o", "x.pgc", "--codec", "small", "--codebooks", "4"), "1 to 3"),
        (("encode", "a.wav", "-o", "a.wav", "--codec", "small", "--overwrite"), "input itself"),
        (("encode", "a.wav", "-o", "none/x.pgc", "--codec", "small"), "does not exist"),
        (("encode", "a.wav", "-o", "checkpoints", "--codec", "small", "--overwrite"), "not a file"),
        (("encode", "none.wav", "-o", "x.pgc", "--codec", "small"), "Check the path"),
        (("encode", "checkpoints/small/codec.json", "-o", "x.pgc", "--codec", "small"), "not a supported audio file"),
        (("decode", "none.pgc", "-o", "x.wav", "--codec", "small"), "is not a file"),
        (("decode", "a.wav", "-o", "x.wav", "--codec", "small"), "starts with"),
        (("decode", "a.wav", "-o", "x.doc", "--codec", "small"), "audio format"),
        (("info", "checkpoints"), "is not a file"),
    ],
)
def test_errors_are_one_line_with_exit_code_2_and_leave_nothing(place, monkeypatch, capsys, arguments, finding):
    before = sorted(place.rglob("*"))
    assert phonogram(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert finding in err and err.startswith("phonogram: ") and err.count("\n") == 1 and not out
    assert str(place) not in err
    assert sorted(place.rglob("*")) == before


def test_codes_of_other_weights_are_refused(place, monkeypatch, capsys):
    phonogram(monkeypatch, "encode", "a.wav", "-o", "a.pgc", "--codec", "small")
    save_codec(place / "checkpoints" / "small", TinyCodec(lag=24))
    assert phonogram(monkeypatch, "decode", "a.pgc", "-o", "x.wav", "--codec", "small") == 2
    assert "with weights" in capsys.readouterr().err and not (place / "x.wav").exists()


def test_failure_leaves_no_partial_output(place, monkeypatch, capsys):
    def full(self, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.compression.codes.container.ContainerWriter.finish", full)
    before = sorted(place.rglob("*"))
    assert phonogram(monkeypatch, "encode", "a.wav", "-o", "a.pgc", "--codec", "small") == 2
    assert "No space left" in capsys.readouterr().err
    assert sorted(place.rglob("*")) == before


def test_mutated_code_files_are_not_decoded(place, monkeypatch, capsys):
    for name in ("a", "b"):
        phonogram(monkeypatch, "encode", f"{name}.wav", "-o", f"{name}.pgc", "--codec", "small")
    content, other = (place / "a.pgc").read_bytes(), (place / "b.pgc").read_bytes()
    header_bytes = len(ContainerHeader("tiny", "0" * 32, 8000, 16, 1, (10,) * 3).to_bytes())
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    capsys.readouterr()
    n_mutants = 0
    for name, mutant in mutations(content, other, header_bytes):
        if mutant in (content, other):
            continue
        n_mutants += 1
        (place / "b.pgc").write_bytes(mutant)
        assert phonogram(monkeypatch, "decode", "b.pgc", "-o", "x.wav", "--codec", "small") == 2, name
        assert capsys.readouterr().err.count("\n") == 1, name
    assert n_mutants >= 335
    assert set(place.rglob("*")) == set(before)


def run(*arguments, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, env=environment, **options
    )


def test_the_real_command_reports_version_usage_and_damage(tmp_path):
    (tmp_path / "x.pgc").write_bytes(b"RIFFxxxx")
    assert run("-m", "backend", "--version").stdout.startswith("phonogram ")
    assert run("-m", "backend", "encode").returncode == 2
    damaged = run("-m", "backend", "info", str(tmp_path / "x.pgc"))
    assert (damaged.returncode, damaged.stdout) == (2, "")
    assert damaged.stderr.startswith("phonogram: The file starts with") and "Traceback" not in damaged.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys, backend.cli.main, backend.compression.codes.inspect; "
        "print([m for m in ('torch', 'soundfile', 'rich.progress') if m in sys.modules])"
    )
    assert run("-c", code).stdout.strip() == "[]"
