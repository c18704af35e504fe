"""`phonogram compress`, `decompress` and `info`: files, folders, pipes, and what is refused."""

import io
import json
import sys

import pytest
from typer.testing import CliRunner

from backend.cli.main import app
from backend.errors import BadContainer, OutputError, PhonogramError
from tests.support.pcm_files import chunk, music, wav_bytes

SOUND = wav_bytes(music(3000, 2), 2, after=chunk(b"LIST", b"notes"))


def run(*arguments, is_failing=False, **options):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
    if not is_failing and result.exception is not None:
        raise result.exception
    return result


def test_file_comes_back_byte_for_byte(tmp_path):
    source = tmp_path / "song.wav"
    source.write_bytes(SOUND)
    printed = run("compress", source, "--level", 1).output
    packed = tmp_path / "song.wav.pgl"
    assert f"{packed.stat().st_size} compressed" in printed and "blocks: 1 cascade" in printed
    with pytest.raises(OutputError, match="exists already"):
        run("decompress", packed)
    run("decompress", packed, "--verify")
    run("decompress", packed, "-o", tmp_path / "again.wav")
    assert (tmp_path / "again.wav").read_bytes() == SOUND
    facts = json.loads(run("info", packed, "--json").output)
    assert (facts["n_samples"], facts["bits"], facts["source_bytes"]) == (3000, 16, len(SOUND))


def test_folder_is_compressed_and_restored_as_a_tree(tmp_path):
    source, packed, again = (tmp_path / name for name in ("in", "packed", "again"))
    (source / "deep").mkdir(parents=True)
    (source / "a.wav").write_bytes(SOUND)
    (source / "deep" / "b.WAV").write_bytes(SOUND[:-2])
    (source / "notes.txt").write_text("not a sound")
    printed = run("compress", source, "-o", packed, "--level", 1, "--no-verify", "--threads", 2).output
    assert printed.startswith("2 of 2 files")
    run("decompress", packed, "-o", again)
    assert (again / "a.wav").read_bytes() == SOUND
    assert (again / "deep" / "b.WAV").read_bytes() == SOUND[:-2]
    (source / "bad.wav").write_bytes(b"RIFF")
    result = run("compress", source, "-o", packed, "--level", 1, "--overwrite", is_failing=True)
    assert result.exit_code == 2 and "bad.wav: The file ends" in result.output


def test_damaged_file_leaves_no_output(tmp_path):
    (tmp_path / "song.wav").write_bytes(SOUND)
    run("compress", tmp_path / "song.wav", "--level", 1)
    packed = tmp_path / "song.wav.pgl"
    content = packed.read_bytes()
    packed.write_bytes(content[:-30] + b"?" + content[-29:])
    with pytest.raises(BadContainer):
        run("decompress", packed, "-o", tmp_path / "again.wav")
    with pytest.raises(BadContainer):
        run("decompress", packed, "--verify")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.wav", "song.wav.pgl"]
    with pytest.raises(PhonogramError, match="No file below"):
        (tmp_path / "empty").mkdir()
        run("compress", tmp_path / "empty")


def test_pipes_carry_both_ways(monkeypatch, capfdbinary):
    class Stream:
        def __init__(self, content=b""):
            self.buffer = io.BytesIO(content)

        def __getattr__(self, name):
            return getattr(sys.__stderr__, name)

    from backend.cli.compress import compress, decompress

    def through(command, content, **options):
        monkeypatch.setattr(sys, "stdin", Stream(content))
        output = Stream()
        monkeypatch.setattr(sys, "stdout", output)
        from pathlib import Path

        command(Path("-"), Path("-"), **options)
        monkeypatch.undo()
        return output.buffer.getvalue()

    packed = through(compress, SOUND, level=1, is_verified=True, threads=1)
    assert packed[:4] == b"\x89PGL"
    assert through(decompress, packed, is_verifying=False, threads=1) == SOUND
