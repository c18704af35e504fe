"""`phonogram read` with a fake engine."""

import sys

import pytest
import soundfile

import backend.app
from backend.cli import main as cli
from backend.errors import BadText, EngineFailure
from tests.support.fake_engine import FakeEngine

BOOK = "# One\n\nThe kettle is on the stove.\n\nThe tea is nearly ready now.\n\n# Two\n\nIt rained all evening long.\n"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    engine = FakeEngine()
    monkeypatch.setattr(backend.app, "build_engine", lambda settings: engine)
    monkeypatch.setattr("backend.pipeline.longform.job_runner.POLL_S", 0.01)
    monkeypatch.setattr("backend.cli.read.POLL_INTERVAL_S", 0.01)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.md").write_text(BOOK)
    return engine


@pytest.fixture
def read(engine, monkeypatch):
    def run(*arguments):
        """The exit code of the command, run in this process."""
        monkeypatch.setattr(sys, "argv", ["phonogram", "read", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code or 0

    return run


def test_book_is_written_to_one_file(read, engine, tmp_path, capsys):
    assert read("book.md", "-o", "book.wav", "--voice", "hum") == 0
    assert "2 chapters" in capsys.readouterr().out
    assert len(soundfile.read(tmp_path / "book.wav")[0]) > 8000
    assert {request.voice for request in engine.asked} == {"hum"} and len(engine.asked) == 5


def test_interrupted_reading_resumes(read, engine, tmp_path, capsys):
    engine.refusals["It rained all evening long."] = EngineFailure("The model lost its way.")
    assert read("book.md", "-o", "book.wav") == 2
    told = capsys.readouterr().err
    assert "The model lost its way" in told and "resumes from here" in told and not (tmp_path / "book.wav").exists()
    engine.asked.clear()
    engine.refusals.clear()
    assert read("book.md", "-o", "book.wav") == 0
    assert [request.text for request in engine.asked] == ["It rained all evening long."]


def test_edited_book_synthesizes_only_changed_sentences(read, engine, tmp_path):
    assert read("book.md", "-o", "book.wav") == 0
    engine.asked.clear()
    (tmp_path / "book.md").write_text(BOOK.replace("nearly ready", "almost done"))
    assert read("book.md", "-o", "book.wav", "--overwrite") == 0
    assert [request.text for request in engine.asked] == ["The tea is almost done now."]


def test_other_book_format_needs_no_synthesis(read, engine, tmp_path):
    assert read("book.md", "-o", "book.wav") == read("book.md", "-o", "book.flac") == 0
    assert len(engine.asked) == 5 and (tmp_path / "book.flac").read_bytes()[:4] == b"fLaC"


def test_forget_option_keeps_only_the_output(read, tmp_path):
    assert read("book.md", "-o", "book.wav", "--forget") == 0
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_only_the_latest_jobs_of_a_book_are_kept(read, tmp_path):
    for seed in range(6):
        assert read("book.md", "-o", "book.wav", "--overwrite", "--seed", seed) == 0
    assert len(list((tmp_path / "data").rglob("*.wav"))) == 4


def test_skipped_sentences_are_reported(read, engine, capsys):
    engine.refusals["It rained all evening long."] = BadText("Not spoken.")
    assert read("book.md", "-o", "book.wav") == 0
    assert "skipped 1 sentences that this voice cannot speak: 'It rained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("book.md", "-o", "book.xyz"), "not a book format"),
        (("book.md", "-o", "nowhere/book.wav"), "does not exist"),
        (("book.md", "-o", "book.md"), "not a book format"),
        (("none.md", "-o", "book.wav"), "cannot be read"),
        (("book.md", "-o", "book.wav", "--voice", "nobody"), "No voice 'nobody'"),
        (("book.md", "-o", "book.wav", "--speed", "9"), "speed is 9.0"),
    ],
)
def test_usage_errors_are_reported_before_synthesis(read, engine, capsys, arguments, said):
    assert read(*arguments) == 2
    assert said in capsys.readouterr().err and not engine.asked
