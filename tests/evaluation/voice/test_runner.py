"""`evaluate voice`: fake systems scored by fake metrics."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.cli import evaluate_voice
from backend.cli.main import app
from backend.codec.registry import CODECS
from backend.errors import BadSettings, EngineFailure, ScoreUnavailable
from backend.evaluation.voice import metrics as voice_metrics
from backend.evaluation.voice.cloning import ClonedVoices
from backend.evaluation.voice.report import render_voice_page
from backend.evaluation.voice.runner import evaluate_voices, read_sentences
from backend.evaluation.voice.summary import as_markdown, summarize_voices
from backend.evaluation.voice.systems import CodecRoundTrip, EngineVoices, Recordings, SpokenPrompt, VoicePrompt
from backend.pipeline.speech.voice_library import Voice
from backend.settings import Settings
from backend.weights import save_codec
from tests.support.tiny_codecs import REGISTERED, TinyCodec

RATE_HZ = 16_000
TEXTS = ["one two three four five six", "seven eight nine ten", "the cat sat on the mat"]


def sound(seconds, pitch_hz=150.0):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return Waveform.of(sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 6)) * 0.1, RATE_HZ)


class FakeSystem:
    """Speaks every text for a second, and fails on one of them."""

    identity = "parrot-1"

    def __init__(self, name="parrot", seconds=1.0, broken=""):
        self.name, self.seconds, self.broken, self.n_spoken = name, seconds, broken, 0

    def prompts(self, texts, seed):
        return [VoicePrompt(text, "ann", seed + i) for i, text in enumerate(texts)]

    def speak(self, prompt):
        self.n_spoken += 1
        if prompt.text == self.broken:
            raise EngineFailure("It broke. Try again.")
        return SpokenPrompt(sound(self.seconds), total_s=0.5, first_audio_s=0.1, is_cut=prompt.text == TEXTS[1])


class FakeRecognizer:
    """Returns the given transcripts."""

    def __init__(self, transcripts, name="asr:ear"):
        self.name, self.identity, self.transcripts, self.n_measured = (
            name,
            f"{name} {sorted(transcripts)}",
            transcripts,
            0,
        )

    def measure(self, samples, prompt):
        self.n_measured += 1
        text = self.transcripts.get(prompt.text, prompt.text)
        if text is None:
            raise ScoreUnavailable("Nothing was heard.")
        return _facts(prompt.text, text)


def _facts(text, transcript):
    recognizer = voice_metrics.AsrMetric.__new__(voice_metrics.AsrMetric)
    recognizer._recognizer = SimpleNamespace(transcribe=lambda samples: transcript)
    return recognizer.measure(np.zeros(1), VoicePrompt(text, None, 0))


def test_errors_skips_and_times_are_pooled(tmp_path):
    ear = FakeRecognizer({TEXTS[0]: "one two six", TEXTS[2]: "the cat sat on the hat"})
    outcome = evaluate_voices([FakeSystem()], TEXTS, [ear], tmp_path)
    row = summarize_voices(outcome, ["parrot"], ["asr:ear"], "teacher")[0]
    # 3 deletions of 6, none of 4, 1 other of 6.
    assert row["asr"]["asr:ear"]["wer"]["mean"] == pytest.approx(4 / 16)
    assert row["takes_with_skips"] == 1 and row["takes_with_loops"] == 0 and row["takes_cut"] == 1
    assert row["rtf"] == pytest.approx(0.5) and row["first_audio_median_s"] == pytest.approx(0.1)
    table = as_markdown([row], ["asr:ear"])
    assert "25.0 %" in table and len({line.count("|") for line in table.splitlines()}) == 1


def test_interrupted_run_resumes(tmp_path):
    system, ear = FakeSystem(), FakeRecognizer({})
    evaluate_voices([system], TEXTS[:2], [ear], tmp_path)
    first = evaluate_voices([system], TEXTS, [ear], tmp_path)
    assert system.n_spoken == 3 and ear.n_measured == 3
    later = FakeRecognizer({}, "asr:other")
    second = evaluate_voices([system], TEXTS, [ear, later], tmp_path)
    assert system.n_spoken == 3 and ear.n_measured == 3 and later.n_measured == 3
    assert [take.total_s for take in first.takes] == [take.total_s for take in second.takes]


def test_failures_and_missing_scores_are_reported(tmp_path):
    outcome = evaluate_voices([FakeSystem(broken=TEXTS[0])], TEXTS, [FakeRecognizer({TEXTS[1]: None})], tmp_path)
    assert outcome.failures == [("parrot", TEXTS[0], "It broke. Try again.")]
    assert outcome.takes[0].problems == {"asr:ear": "Nothing was heard."}
    row = summarize_voices(outcome, ["parrot"], ["asr:ear"], "teacher")[0]
    assert row["n_failed"] == 1 and row["n_takes"] == 2
    assert row["asr"]["asr:ear"]["wer"]["n"] == 1


def test_durations_are_relative_to_the_teacher(tmp_path):
    slow = FakeSystem(seconds=2.0)
    slow.identity = "parrot-2"
    outcome = evaluate_voices([slow, FakeSystem("teacher")], TEXTS, [], tmp_path)
    row = summarize_voices(outcome, ["parrot", "teacher"], [], "teacher")[0]
    assert row["duration_ratio"] == pytest.approx(2.0) and row["duration_deviation"] == pytest.approx(0.0)


def test_report_contains_the_worst_takes(tmp_path):
    ear = FakeRecognizer({TEXTS[2]: "<the> hat"})
    outcome = evaluate_voices([FakeSystem()], TEXTS, [ear], tmp_path)
    rows = summarize_voices(outcome, ["parrot"], ["asr:ear"], "teacher")
    document = {"created_utc": "now", "machine": {"cpu": "x"}, "n_sentences": 3, "seed": 0, "summary": rows,
                "absent": {"likeness": "Not enabled."}}  # fmt: skip
    page = render_voice_page(document, as_markdown(rows, ["asr:ear"]), outcome)
    worst = page[page.index("Most word errors") :]
    assert "&lt;the&gt; hat" in worst and worst.count("<audio") == 1 and page.count("<audio") == 4
    assert "Not enabled." in page


class FakeEngine:
    """Speaks half a second in two chunks."""

    settings = Settings()

    def __init__(self):
        self.requests, self.added = [], []

    def add_voice(self, *voice):
        self.added.append(voice)
        return Voice(f"{voice[0]}'s id", voice[0], False)

    def load(self):
        pass

    def speak(self, request):
        self.requests.append(request)

    def stream(self, request):
        self.requests.append(request)

        class Stream(list):
            sample_rate_hz, finish_reason = RATE_HZ, "stop"

        return Stream([sound(0.25), sound(0.25)])


def test_engine_warms_up_once_and_alternates_voices():
    engine = FakeEngine()
    system = EngineVoices(engine, "x", ["ann", "bob"])
    takes = [system.speak(prompt) for prompt in system.prompts(TEXTS, seed=5)]
    assert [request.voice for request in engine.requests] == ["ann", "ann", "bob", "ann"]
    assert [request.seed for request in engine.requests[1:]] == [5, 6, 7]
    assert not any(request.use_memory_cache for request in engine.requests)
    assert takes[0].waveform.duration_s == pytest.approx(0.5) and takes[0].first_audio_s <= takes[0].total_s


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    rows = []
    for number, text in enumerate([TEXTS[0], "a text of its own"]):
        write_audio(folder / f"{number}.wav", sound(0.5 + number))
        rows.append(json.dumps({"file": f"{number}.wav", "text": text, "speaker": "ann"}) + "\n")
    (folder / "manifest.jsonl").write_text("".join(rows))
    return folder


def test_recordings_use_their_texts_and_teachers_the_requested_ones(corpus):
    assert [p.text for p in Recordings("real", corpus).prompts(TEXTS, 0)] == [TEXTS[0], "a text of its own"]
    assert [p.text for p in Recordings("teacher", corpus, True).prompts(TEXTS, 0)] == [TEXTS[0]]


def test_codec_round_trip_keeps_the_length(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    save_codec(tmp_path / "codec", TinyCodec(hop=160, rate_hz=RATE_HZ, lag=100))
    inner = Recordings("real", corpus)
    coded = CodecRoundTrip.open(inner, tmp_path / "codec")
    prompt = coded.prompts([], 0)[1]
    assert coded.speak(prompt).waveform.n_samples == inner.speak(prompt).waveform.n_samples
    assert coded.name == "real, tiny"


def test_command_writes_json_table_and_report(corpus, tmp_path, monkeypatch):
    (tmp_path / "said.json").write_text(json.dumps(TEXTS))
    monkeypatch.setattr(evaluate_voice, "open_engine", lambda checkpoint, voices, stack: FakeSystem(checkpoint))
    arguments = ["evaluate", "voice", "mine", "--sentences", str(tmp_path / "said.json"), "--recordings", str(corpus),
                 "--teacher", str(corpus)]  # fmt: skip
    for name in ("json", "markdown", "report"):
        arguments += [f"--{name}", str(tmp_path / name)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "asr not available: Not enabled." in result.output
    document = json.loads((tmp_path / "json").read_text())
    assert [row["system"] for row in document["summary"]] == ["mine", "teacher", "real"]
    assert len(document["takes"]) == 3 + 1 + 2
    assert document["summary"][0]["duration_ratio"] == pytest.approx(2.0)
    assert (tmp_path / "markdown").read_text().startswith("| system | takes |")
    assert "<audio" in (tmp_path / "report").read_text()


def test_missing_inputs_are_rejected(tmp_path):
    runner = CliRunner()
    with pytest.raises(BadSettings, match="--sentences"):
        runner.invoke(app, ["evaluate", "voice", "mine"], catch_exceptions=False)
    with pytest.raises(BadSettings, match="nothing to evaluate"):
        runner.invoke(app, ["evaluate", "voice"], catch_exceptions=False)


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '[" "]', '{"a": 1}'])
def test_invalid_sentence_files_are_rejected(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(BadSettings, match=r"s\.json"):
        read_sentences(tmp_path / "s.json")


def test_limit_spreads_over_sentences(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([f"number {i}" for i in range(10)]))
    assert read_sentences(tmp_path / "s.json", 5) == [f"number {i}" for i in range(0, 10, 2)]


class Timbre:
    """Fake embeddings: distinguishes speakers by level."""

    def embed(self, samples):
        angle = float(np.sqrt(np.mean(samples**2))) * 4
        return np.array([np.cos(angle), np.sin(angle)])


@pytest.fixture
def three_voices(tmp_path):
    """Three voices with three recordings of 3 s each, at different levels."""
    folder = tmp_path / "choir"
    folder.mkdir()
    rows = []
    for speaker, gain in (("ann", 1.0), ("bob", 2.0), ("cid", 3.0)):
        for number, text in enumerate(TEXTS):
            name = f"{speaker}{number}.wav"
            write_audio(folder / name, Waveform.of(sound(3.0).samples[0] * gain, RATE_HZ))
            rows.append(json.dumps({"file": name, "text": text, "speaker": speaker, "seconds": 3.0}) + "\n")
    (folder / "manifest.jsonl").write_text("".join(rows))
    return folder


def test_voice_is_cloned_from_first_seconds_excluded_from_similarity(three_voices, monkeypatch):
    engine = FakeEngine()
    cloning = ClonedVoices(engine, "x", three_voices)
    prompts = cloning.prompts(["say this", "and this", "and that", "last"], seed=3)
    assert [prompt.voice for prompt in prompts] == ["ann", "bob", "cid", "ann"]
    assert prompts[0].heard == tuple(TEXTS[:2])  # 3 s are not 5, 6 s are
    cloning.speak(prompts[1])
    cloning.speak(prompts[1])
    ((name, clip, text, consent),) = engine.added  # once
    assert name == "clone of bob" and consent and text == clip.text == f"{TEXTS[0]} {TEXTS[1]}"
    assert (engine.requests[0].voice, engine.requests[0].seed) == ("clone of bob's id", 4)

    monkeypatch.setattr(voice_metrics, "SpeakerEmbedder", Timbre)
    measure = voice_metrics.SpeakerSimilarityMetric([three_voices], reports_nearest=True)
    like_bob = sound(1.0).samples[0] * 2
    found = measure.measure(like_bob, prompts[1])
    assert found["is_nearest"] and found["n_voices"] == 3 and found["likeness"] == pytest.approx(1.0, abs=1e-4)
    mistaken = measure.measure(like_bob, prompts[0])
    assert not mistaken["is_nearest"] and mistaken["nearest"] == "bob"
    with pytest.raises(ScoreUnavailable, match="no other recordings"):
        measure.measure(like_bob, VoicePrompt(TEXTS[2], "ann", 0, tuple(TEXTS[:2])))


def test_cloning_requires_a_checkpoint(three_voices, tmp_path):
    (tmp_path / "said.json").write_text(json.dumps(TEXTS))
    arguments = ["evaluate", "voice", "--sentences", str(tmp_path / "said.json"), "--clones", str(three_voices)]
    with pytest.raises(BadSettings, match="CHECKPOINT"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
