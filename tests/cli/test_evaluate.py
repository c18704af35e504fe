import json
import sys
from html.parser import HTMLParser

import pytest
import torch

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.cli import main as cli
from backend.codec.registry import CODECS
from backend.data.synthetic import speech_like
from backend.evaluation.baselines import subprocess_codec
from backend.weights import save_codec, weights_hash
from tests.support.tiny_codecs import REGISTERED, TinyCodec


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A codec, two sounds and a damaged one; no coder of others and no slow judge."""
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    monkeypatch.setattr(subprocess_codec.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "visqol", None)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    save_codec(tmp_path / "small", TinyCodec(lag=24), {"trained_steps": 7})
    (tmp_path / "sounds").mkdir()
    for seed in (1, 2):
        write_audio(tmp_path / f"sounds/{seed}.wav", Waveform(speech_like(1.2, 16_000, seed=seed), 16_000))
    (tmp_path / "sounds/bad <b>.wav").write_bytes(b"RIFF")
    return tmp_path


def phonogram(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["phonogram", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code or 0


RUN = ("evaluate", "codec", "small", "--audio", "sounds", "--codebooks", "1,3")


def test_json_has_all_results(place, monkeypatch, capsys):
    assert phonogram(monkeypatch, *RUN, "--json", "out.json") == 0
    document = json.loads((place / "out.json").read_text())
    assert (document["format"], document["kind"], document["judged_at_hz"]) == (1, "codec-evaluation", 16_000)
    assert document["command"][:3] == ["phonogram", "evaluate", "codec"]
    assert document["checkpoint"]["weights_sha256"] == weights_hash(place / "small")
    assert document["checkpoint"]["manifest"]["trained_steps"] == 7
    assert document["machine"]["cores"] >= 1 and document["versions"]["torch"] == torch.__version__
    systems = {system["name"]: system for system in document["systems"]}
    assert {name for name in systems if systems[name]["available"]} == {"tiny-1", "tiny-3", "original"}
    assert "Install opus-tools" in systems["opus-12"]["reason"] and "--lyra" in systems["lyra-3.2"]["reason"]
    judges = {judge["name"]: judge for judge in document["judges"]}
    assert set(judges) == {"mel_db", "si_sdr_db", "stoi", "pesq", "visqol", "speaker", "wer", "cer"}
    assert "visqol-python is needed" in judges["visqol"]["reason"]
    rows = {row["system"]: row for row in document["summary"]}
    assert rows["original"]["scores"]["mel_db"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 2}
    assert rows["original"]["payload_kbps"] is None
    # 12 bits in all, a frame of 16 samples at 8 kHz.
    assert rows["tiny-3"]["payload_kbps"] == pytest.approx(6.0, rel=0.01) and rows["tiny-3"]["bandwidth_hz"] == 4000
    score = rows["tiny-1"]["scores"]["mel_db"]
    assert score["low"] <= score["mean"] <= score["high"] and score["n"] == 2
    assert [sound["file"] for sound in document["sounds"]] == ["1.wav", "2.wav"]
    result = document["sounds"][0]["results"][0]
    assert result["payload_kbps"] == pytest.approx(result["payload_bytes"] * 8 / 1.2 / 1000)
    assert [item["file"] for item in document["skipped"]] == ["bad <b>.wav"]
    assert {row["other"] for row in document["differences"]} == {"original"}
    out = capsys.readouterr().out
    assert "tiny-3" in out and "opus-12 not available" in out and "skipped bad <b>.wav" in out


class Page(HTMLParser):
    """What a page holds, and what it would load from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not value.startswith(("data:", "#")):
                self.loaded.append(value)

    def handle_data(self, data):
        self.text += data


def test_report_is_self_contained(place, monkeypatch):
    pytest.importorskip("matplotlib")
    assert phonogram(monkeypatch, *RUN, "--report", "out.html") == 0
    page = Page((place / "out.html").read_text(encoding="utf-8"))
    assert page.loaded == []
    assert page.tags.count("svg") == 1
    # Two sounds through three coders.
    assert page.tags.count("img") == page.tags.count("audio") == 6
    assert "b" not in page.tags, "a file name got into the page as markup"
    for text in ("tiny-3", "bad <b>.wav", "skipped", "not available", "opus-12", "SI-SDR", "phonogram evaluate codec"):
        assert text in page.text


def test_report_without_matplotlib_fails_before_the_evaluation(place, monkeypatch, capsys):
    monkeypatch.setattr("backend.evaluation.codec.runner.evaluate", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert phonogram(monkeypatch, *RUN, "--report", "out.html") == 2
    assert "'matplotlib' cannot be imported" in capsys.readouterr().err
    assert not (place / "out.html").exists()


def test_evaluation_resumes_from_its_cache_with_equal_results(place, monkeypatch):
    results = []
    for name in ("first.json", "second.json"):
        assert phonogram(monkeypatch, *RUN, "--peers", "original", "--cache", "kept", "--json", name) == 0
        document = json.loads((place / name).read_text())
        results.append({key: document[key] for key in ("summary", "differences", "sounds", "skipped")})
    assert results[0] == results[1] and len(list((place / "kept").iterdir())) == 6


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("small", "--audio", "none"), "not a folder"),
        (("small", "--audio", "small"), "has no audio files"),
        (("none", "--audio", "sounds"), "neither a folder"),
        (("small", "--audio", "sounds", "--codebooks", "1,x"), "expected numbers"),
        (("small", "--audio", "sounds", "--codebooks", "9"), "1 to 3"),
        (("small", "--audio", "sounds", "--peers", "mp4"), "Unknown baselines mp4"),
        (("small", "--audio", "sounds", "--json", "none/out.json"), "Check the path"),
        (("small", "--audio", "sounds", "--report", "sounds"), "Check the path"),
        (("small", "--audio", "sounds", "--transcripts", "none.jsonl"), "not a list of transcripts"),
    ],
)
def test_usage_errors_are_one_line_before_any_work(place, monkeypatch, capsys, arguments, finding):
    assert phonogram(monkeypatch, "evaluate", "codec", *arguments) == 2
    out, err = capsys.readouterr()
    assert finding in err and err.startswith("phonogram: ") and err.count("\n") == 1 and not out


def test_evaluation_of_only_damaged_files_is_an_error(place, monkeypatch, capsys):
    for name in ("1.wav", "2.wav"):
        (place / "sounds" / name).write_bytes(b"RIFF")
    assert phonogram(monkeypatch, *RUN) == 2
    assert "None of the 3 files could be read" in capsys.readouterr().err


def test_classes_measure_any_sound_at_the_codecs_own_rate(place, monkeypatch, capsys):
    (place / "classes.jsonl").write_text('{"file": "1.wav", "class": "rain"}\n{"file": "2.wav", "class": "birds"}\n')
    arguments = ("evaluate", "codec", "small", "--audio", "sounds", "--classes", "classes.jsonl", "--json", "out.json")
    assert phonogram(monkeypatch, *arguments) == 0
    document = json.loads((place / "out.json").read_text())
    assert document["judged_at_hz"] == 8000
    assert set(document["classes"]) == {"birds", "rain"}
    (row,) = [row for row in document["classes"]["rain"] if row["system"] == "tiny-3"]
    assert row["n_files"] == 1
    assert {"log_mel_db", "log_mel_6k_db", "mr_stft", "tonal_db", "chroma", "onset_f1"} <= set(row["scores"])
    assert "rain: tiny-3" in capsys.readouterr().out


def test_classes_of_other_files_are_refused(place, monkeypatch, capsys):
    (place / "classes.jsonl").write_text('{"file": "other.wav", "class": "rain"}\n')
    arguments = ("evaluate", "codec", "small", "--audio", "sounds", "--classes", "classes.jsonl")
    assert phonogram(monkeypatch, *arguments) != 0
    assert "same file names" in capsys.readouterr().err
