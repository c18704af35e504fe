"""Metrics from third-party packages: known values, rejected input, and errors without the packages."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backend.data.synthetic import silence, speech_like
from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics import pesq_visqol
from backend.metrics.asr import FILES, Recognizer
from backend.metrics.optional_packages import package_version, require_package
from backend.metrics.pesq_visqol import SELF_CHECK, Visqol, pesq
from backend.metrics.speaker_similarity import SpeakerEmbedder
from backend.metrics.stoi import stoi

RATE_HZ = 16_000
SPEECH = speech_like(2.0, RATE_HZ, seed=3)[0]
NOISY = SPEECH + 0.02 * np.random.default_rng(0).standard_normal(len(SPEECH)).astype(np.float32)


@pytest.fixture
def absent(monkeypatch):
    """Make a module impossible to import."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def test_stoi_of_identical_signals_is_one():
    pytest.importorskip("pystoi")
    assert stoi(SPEECH, SPEECH, RATE_HZ) == pytest.approx(1)
    assert stoi(SPEECH, NOISY, RATE_HZ) < 0.99


def test_stoi_of_very_short_audio_is_unavailable():
    pytest.importorskip("pystoi")
    with pytest.raises(ScoreUnavailable):
        stoi(SPEECH[:1000], SPEECH[:1000], RATE_HZ)
    with pytest.raises(ScoreUnavailable):
        stoi(SPEECH[:5000], SPEECH[:5000], RATE_HZ)


def test_pesq_of_identical_signals_is_its_maximum():
    pytest.importorskip("pesq")
    assert pesq(SPEECH, SPEECH) == pytest.approx(4.64, abs=0.01)
    assert pesq(SPEECH, NOISY) < 4.2


def test_pesq_rejects_silence():
    pytest.importorskip("pesq")
    nothing = silence(2.0, RATE_HZ)[0]
    for pair in ((nothing, SPEECH), (SPEECH, nothing), (SPEECH[:800], SPEECH[:800])):
        with pytest.raises(ScoreUnavailable):
            pesq(*pair)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("pystoi", lambda: stoi(SPEECH, SPEECH, RATE_HZ)),
        ("pesq", lambda: pesq(SPEECH, SPEECH)),
        ("visqol", Visqol),
        ("resemblyzer", SpeakerEmbedder),
    ],
)
def test_a_missing_package_is_named(absent, module, call):
    absent(module)
    with pytest.raises(NotAvailable, match=f"'{module}' cannot be imported.*Install"):
        call()


def test_version_of_an_absent_package_is_none():
    assert package_version("numpy") == np.__version__
    assert package_version("no-such-package") is None
    assert require_package("json", "json").loads("1") == 1


def fake_visqol(scores):
    """A fake package with a score for each noise level of the check."""

    class Api:
        def create(self, **options):
            assert options == {"mode": "speech", "use_lattice_model": True}

        def measure_from_arrays(self, reference, decoded, rate_hz):
            level = np.abs(decoded - reference).max()
            gain = min(scores, key=lambda gain: abs(gain - level))
            return SimpleNamespace(moslqo=scores[gain])

    return SimpleNamespace(VisqolApi=Api)


@pytest.fixture
def runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", SimpleNamespace())


def test_visqol_that_passes_its_check_is_used(monkeypatch, runtime):
    monkeypatch.setitem(sys.modules, "visqol", fake_visqol(dict(SELF_CHECK)))
    assert Visqol().score(SPEECH, SPEECH) == SELF_CHECK[0][1]


def test_visqol_without_its_model_runtime_is_unavailable(monkeypatch, absent):
    monkeypatch.setitem(sys.modules, "visqol", fake_visqol(dict(SELF_CHECK)))
    absent("ai_edge_litert.interpreter")
    with pytest.raises(NotAvailable, match="ai-edge-litert"):
        Visqol()


def test_visqol_with_the_fallback_formula_is_unavailable(monkeypatch, runtime):
    monkeypatch.setitem(sys.modules, "visqol", fake_visqol({0.0: 5.0, 0.002: 3.724, 0.005: 3.303}))
    with pytest.raises(NotAvailable, match="scores its check signal 5.0000; expected 4.3390"):
        Visqol()


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_non_finite_visqol_is_unavailable(monkeypatch, runtime, score):
    monkeypatch.setitem(sys.modules, "visqol", fake_visqol(dict(SELF_CHECK)))
    visqol = Visqol()
    monkeypatch.setattr(visqol, "_api", fake_visqol({0.0: score}).VisqolApi())
    with pytest.raises(ScoreUnavailable):
        visqol.score(SPEECH, SPEECH)


@pytest.mark.slow
def test_the_real_visqol_passes_its_check():
    pytest.importorskip("visqol")
    visqol = Visqol()
    assert visqol.score(SPEECH, SPEECH) > 4
    assert visqol.score(SPEECH, NOISY) < 3.5


@pytest.mark.slow
def test_equal_audio_has_similarity_one():
    pytest.importorskip("resemblyzer")
    encoder = SpeakerEmbedder()
    assert encoder.similarity(SPEECH, SPEECH) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ScoreUnavailable, match="silence"):
        encoder.embed(silence(1.0, RATE_HZ)[0])


def test_a_recognizer_needs_its_files(tmp_path):
    (tmp_path / FILES[0]).touch()
    with pytest.raises(NotAvailable, match="lacks config.json, tokenizer.json"):
        Recognizer(tmp_path)


def test_damaged_recognizer_is_unavailable(tmp_path, monkeypatch):
    class Refusing:
        def __init__(self, *arguments, **options):
            raise RuntimeError("unsupported model binary")

    for name in FILES:
        (tmp_path / name).write_bytes(b"{}")
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Refusing))
    with pytest.raises(NotAvailable, match="cannot be loaded"):
        Recognizer(tmp_path)


def test_transcripts_join_their_segments(tmp_path, monkeypatch):
    class Whisper:
        def __init__(self, folder, **options):
            assert options["local_files_only"]

        def transcribe(self, samples, **options):
            assert samples.dtype == np.float32 and options["temperature"] == 0.0
            return iter([SimpleNamespace(text=" one"), SimpleNamespace(text=" two ")]), None

    for name in FILES:
        (tmp_path / name).write_bytes(b"{}")
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Whisper))
    assert Recognizer(tmp_path).transcribe(SPEECH.astype(np.float64)) == "one two"


def test_check_signal_is_deterministic():
    clean, noisy = pesq_visqol.self_check_pair(0.005)
    assert len(clean) == RATE_HZ and np.abs(noisy - clean).max() == pytest.approx(0.005, rel=0.01)
