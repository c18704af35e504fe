"""`phonogram speak` and `phonogram voices` with a fake engine."""

import io
import json
import sys

import numpy as np
import pytest

import backend.app
from backend.audio.files import read_audio
from backend.audio.pcm import to_int16
from backend.cli import main as cli
from backend.errors import EngineFailure, NotAvailable
from backend.runtime.request import ReferenceClip, SpeechRequest
from tests.support.fake_engine import FakeEngine, Voice, sound_of


@pytest.fixture
def engine(tmp_path, monkeypatch):
    engine = FakeEngine()
    monkeypatch.setattr(backend.app, "build_engine", lambda settings: engine)
    monkeypatch.chdir(tmp_path)
    return engine


@pytest.fixture
def phonogram(engine, monkeypatch):
    def run(*arguments):
        """The exit code of the command, run in this process."""
        monkeypatch.setattr(sys, "argv", ["phonogram", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code or 0

    return run


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.pcm"])
@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_text_becomes_a_sound_file(phonogram, engine, tmp_path, capsys, name, stream):
    assert phonogram("speak", "Hello there", "-o", name, "--seed", 5, *stream) == 0
    expected = to_int16(sound_of(SpeechRequest(text="Hello there"), 5))
    content = (tmp_path / name).read_bytes()
    samples = np.frombuffer(content, "<i2") if name == "a.pcm" else to_int16(read_audio(content).samples)
    assert np.array_equal(samples.reshape(1, -1), expected)
    assert engine.is_closed
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: 0.22 s in") and "seed 5" in out


@pytest.mark.parametrize(
    ("words", "switch", "is_fitted"), [(["a"], [], True), ([], [], False), (["a"], ["--no-fit"], False)]
)
def test_voice_is_adapted_to_references_with_transcripts(phonogram, engine, tmp_path, words, switch, is_fitted):
    (tmp_path / "r.wav").write_bytes(b"RIFF1")
    given = [part for one in words for part in ("--reference-text", one)]
    assert phonogram("speak", "Hello.", "-o", "a.wav", "--reference", "r.wav", *given, *switch) == 0
    assert engine.asked[-1].fit_reference == is_fitted


def test_every_option_reaches_the_engine(phonogram, engine, tmp_path):
    (tmp_path / "r.wav").write_bytes(b"RIFF1")
    (tmp_path / "t.txt").write_text("\ufeffFrom a file.", encoding="utf-8")
    options = {
        "seed": 3, "temperature": 0.5, "top-p": 0.6, "top-k": 7, "min-p": 0.1, "repetition-penalty": 1.2,
        "max-new-tokens": 99, "chunk-length": 100, "speed": 1.5, "loudness-lufs": -20.0, "markup": "ssml",
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments += ["--no-normalize", "--reference", "r.wav", "--reference-text", "words"]
    assert phonogram("speak", "--file", "t.txt", "-o", "a.mp3", *arguments) == 0
    assert engine.asked == [
        SpeechRequest(
            text="From a file.", references=(ReferenceClip(b"RIFF1", "words"),), normalize=False, whole=True,
            fit_reference=True, **{name.replace("-", "_"): value for name, value in options.items()},
        )
    ]  # fmt: skip
    assert phonogram("speak", "x", "-o", "b.ogg", "--voice", "hum") == 0
    assert engine.asked[1] == SpeechRequest(text="x", voice="hum", whole=True)
    assert read_audio(tmp_path / "a.mp3").duration_s > 0.2 and (tmp_path / "b.ogg").exists()


@pytest.mark.parametrize("how", [(), ("--stream",)])
def test_bitrate_is_applied_or_rejected_before_synthesis(phonogram, engine, tmp_path, capsys, how):
    for kbps in (16, 64):
        assert phonogram("speak", "x" * 100, "-o", f"{kbps}.mp3", "--bitrate-kbps", kbps, *how) == 0
        assert (tmp_path / f"{kbps}.mp3").stat().st_size * 8 / 2000 == pytest.approx(kbps, rel=0.2)
    n_before = engine.n_pieces
    for name, finding in (("a.mp3", "8 to 64 kbps"), ("a.wav", "no bitrate")):
        assert phonogram("speak", "x" * 100, "-o", name, "--bitrate-kbps", 96, *how) == 2
        assert finding in capsys.readouterr().err and not (tmp_path / name).exists()
    assert engine.n_pieces == n_before


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_text_comes_from_standard_input(phonogram, engine, monkeypatch, arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Piped text.\n"))
    assert phonogram("speak", *arguments, "-o", "a.wav") == 0
    assert engine.asked[0].text == "Piped text.\n"


def test_sound_goes_to_standard_output(phonogram, monkeypatch, capsysbinary):
    assert phonogram("speak", "Hello", "-o", "-") == 0
    out, err = capsysbinary.readouterr()
    assert read_audio_of_unknown_length(out) == 5 * 160
    assert b"standard output: 0.10 s" in err


def read_audio_of_unknown_length(content):
    assert content[:4] == b"RIFF"
    return (len(content) - 44) // 2


def test_metrics_are_printed_as_json(phonogram, capsys):
    assert phonogram("speak", "Hello", "-o", "a.wav", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["audio_s"] == 0.1 and facts["finish_reason"] == "stop" and facts["ignored"] == []


def test_progress_bar_is_shown_on_a_terminal_only(phonogram, monkeypatch, capsys):
    assert phonogram("speak", "Hello", "-o", "a.wav") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert phonogram("speak", "Hello", "-o", "b.wav") == 0
    assert "speaking" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_failure_during_synthesis_leaves_no_file(phonogram, engine, tmp_path, capsys, options):
    engine.fail_after_samples, engine.failure = 1600, EngineFailure("The lm thread failed.")
    assert phonogram("speak", "Hello " * 9, "-o", "a.wav", *options) == 2
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == "phonogram: The lm thread failed.\n"
    assert engine.is_closed


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("x", "-o", "a.doc"), "not a supported audio format"),
        (("x", "-o", "a.ogg", "--stream"), "not a streaming audio format"),
        (("x", "-o", "none/a.wav"), "does not exist"),
        (("x", "-o", "there.wav"), "exists already"),
        (("", "-o", "a.wav"), "text is empty"),
        (("x", "--file", "t", "-o", "a.wav"), "one of them"),
        (("--file", "t", "-o", "a.wav"), "cannot be read"),
        (("--file", "there.wav", "-o", "a.wav"), "not UTF-8"),
        (("x", "-o", "a.wav", "--reference", "r.wav"), "cannot be read"),
        (("x", "-o", "a.wav", "--reference-text", "r"), "pairs"),
        (("x", "-o", "a.wav", "--temperature", "9"), "temperature is 9"),
        (("x", "-o", "a.wav", "--markup", "html"), "markup is 'html'"),
        (("x", "-o", "a.wav", "--voice", "nobody"), "No voice 'nobody'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(phonogram, tmp_path, capsys, arguments, finding):
    (tmp_path / "there.wav").write_bytes(b"\xff precious")
    assert phonogram("speak", *arguments) == 2
    err = capsys.readouterr().err
    assert finding in err and err.count("\n") == 1 and str(tmp_path) not in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.wav"]
    assert (tmp_path / "there.wav").read_bytes() == b"\xff precious"


def test_missing_checkpoint_is_one_line(phonogram, engine, capsys):
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    assert phonogram("speak", "x", "-o", "a.wav") == 2
    assert capsys.readouterr().err == "phonogram: No checkpoint in checkpoints/.\n"


def test_voices_are_listed(phonogram, engine, capsys):
    assert phonogram("voices") == 0
    assert capsys.readouterr().out.split() == ["hum", "Hum", *["added", "by", "you,", "from", "7", "s", "of", "speech"]]
    engine.stored["eva"] = Voice("eva", "Eva", is_builtin=True, gender="female", accent="British")
    assert phonogram("voices") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["eva", "Eva", "female", "British", "built", "in"]
    del engine.stored["eva"]
    assert phonogram("voices", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"id": "hum", "name": "Hum", "gender": "", "accent": "", "is_builtin": False}
    ]
    engine.stored.clear()
    assert phonogram("voices") == 0
    assert "There are no voices" in capsys.readouterr().err


def test_serve_uses_the_given_host_and_port(phonogram, monkeypatch):
    started = []
    monkeypatch.setattr("backend.cli.graceful_server.GracefulServer.run", lambda server: started.append(server.config))
    monkeypatch.setenv("PORT", "8123")
    assert phonogram("serve") == 0
    assert phonogram("serve", "--host", "0.0.0.0", "--port", "8200") == 0
    assert [(config.host, config.port) for config in started] == [("127.0.0.1", 8123), ("0.0.0.0", 8200)]
    assert started[1].app.state.settings.host == "0.0.0.0"
    assert phonogram("serve", "--port", "0") == 2
