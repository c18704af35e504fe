"""Batches: accepted files, error messages, and the contents of the zip file."""

import csv
import io
import zipfile

import pytest

from backend.runtime.request import SpeechRequest
from tests.support.fake_engine import FakeEngine
from tests.support.served import served
from ui.batch import BatchError, BatchResult, read_lines, run_batch, slug_of, zip_of
from ui.client import BackendClient

FIELDS = ("text", "voice", "seed", "speed", "format")


def test_every_line_of_a_text_file_is_a_text():
    lines = read_lines("a.txt", "\ufeffOne.\n\n  Two, and more.  \r\n".encode(), FIELDS)
    assert [(line.name, line.text) for line in lines] == [("001-one", "One."), ("002-two-and-more", "Two, and more.")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_of_a_table_override_the_settings(separator):
    rows = [["Text", "voice", "seed", "name"], ['"Hello, you; there."', "hum", "7", "greeting"], ["Bye.", "", "", ""]]
    table = "\n".join(separator.join(row) for row in rows)
    first, second = read_lines("a.CSV", table.encode(), FIELDS)
    assert (first.name, first.text, first.options) == (
        "001-greeting",
        "Hello, you; there.",
        {"voice": "hum", "seed": "7"},
    )
    assert (second.name, second.options) == ("002-bye", {})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "a.txt holds no text"),
        ("a.txt", b"caf\xe9", "not UTF-8 (byte 3)"),
        ("a.csv", b"words\nhi", "one must be named 'text'"),
        ("a.csv", b"text,volume\nhi,3", "a column 'volume'"),
        ("a.csv", b"text,format\nhi,mp3", "a column 'format'"),
        ("a.csv", b"text,seed\nhi, there,3", "Line 2 of a.csv has more cells than columns"),
        ("a.csv", b"text,seed\n,3", "Line 2 of a.csv has no text"),
        ("a.txt", b"x\n" * 2001, "holds 2001 texts; the limit is 2000"),
    ],
)
def test_invalid_file_is_rejected_with_line_and_reason(name, content, message):
    with pytest.raises(BatchError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_lines(name, content, FIELDS)


@pytest.mark.parametrize("text", ["../../etc/passwd", "C:\\x", "...", "NUL", "ü/ß", "x" * 300])
def test_file_names_contain_no_path(text):
    slug = slug_of(text)
    assert slug and len(slug) <= 40 and not set(slug) & set("./\\:")


def test_batch_runs_every_line_and_a_failure_affects_its_line_only():
    engine = FakeEngine()
    lines = read_lines("a.csv", b"text,voice,seed\nFirst.,hum,3\nSecond.,nobody,\nThird.,,", FIELDS)
    with served(engine) as url:
        done = dict(run_batch(BackendClient(url), lines, {"seed": 5, "format": "wav"}))
    assert sorted(done) == [0, 1, 2]
    assert SpeechRequest(text="First.", voice="hum", seed=3, whole=True) in engine.asked
    assert SpeechRequest(text="Third.", seed=5, whole=True) in engine.asked
    assert done[1].audio is None and "No voice 'nobody'" in done[1].message

    archive = zipfile.ZipFile(io.BytesIO(zip_of([done[index] for index in sorted(done)], "wav")))
    assert archive.namelist() == ["001-first.wav", "003-third.wav", "batch.csv"]
    assert archive.read("001-first.wav") == done[0].audio
    table = list(csv.DictReader(io.StringIO(archive.read("batch.csv").decode())))
    assert [row["file"] for row in table] == ["001-first.wav", "", "003-third.wav"]
    assert table[0]["seed"] == "3" and "nobody" in table[1]["message"]


def test_abandoned_batch_starts_no_more_lines():
    engine = FakeEngine()
    lines = read_lines("a.txt", b"One text.\n" * 40, FIELDS)
    with served(engine) as url:
        results = run_batch(BackendClient(url), lines, {})
        next(results)
        results.close()
    assert len(engine.asked) < len(lines)


def test_zip_without_audio_has_only_the_table():
    line = read_lines("a.txt", b"One.", FIELDS)[0]
    assert zipfile.ZipFile(io.BytesIO(zip_of([BatchResult(line, None, "no")], "mp3"))).namelist() == ["batch.csv"]
