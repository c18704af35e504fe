import json

import numpy as np
import pytest
import torch

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.codec.registry import CODECS
from backend.compression.codes.inspect import survey_file
from backend.data.synthetic import speech_like
from backend.errors import BadSettings
from backend.evaluation.codec.metrics import RATE_HZ, Metric, MetricScore, Pair, Transcripts, open_metrics
from backend.evaluation.codec.runner import evaluate, find_sounds, measure_delay, read_transcripts
from backend.evaluation.codec.summary import compare, summarize
from backend.evaluation.codec.systems import Original, codec_systems
from backend.evaluation.result_cache import ResultCache
from backend.pipeline.codec.on_disk import encode_file
from backend.weights import codes_hash, save_codec
from tests.support.fake_metrics import UNDECIDED, Counted, Delayed, Refusing
from tests.support.tiny_codecs import REGISTERED, TinyCodec


@pytest.fixture
def sounds(tmp_path):
    """Three files of different rates, a damaged one, and one that is not audio."""
    folder = tmp_path / "sounds"
    (folder / "inner").mkdir(parents=True)
    for name, rate_hz, duration_s in (("a.wav", 16_000, 1.0), ("b.flac", 24_000, 1.5), ("inner/c.wav", 8_000, 0.8)):
        write_audio(folder / name, Waveform(speech_like(duration_s, rate_hz, seed=rate_hz), rate_hz))
    (folder / "d.wav").write_bytes(b"RIFF, but no more")
    (folder / "notes.txt").write_text("not a sound")
    return folder


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    torch.manual_seed(2)
    save_codec(tmp_path / "small", TinyCodec(lag=24))
    return tmp_path / "small"


def run(sounds, systems, metrics, **options):
    return evaluate(find_sounds(sounds), sounds, systems, metrics, **options)


def test_delayed_copy_is_aligned_before_scoring(sounds):
    metrics = open_metrics().metrics[:2]
    outcome = run(sounds, [Delayed(lag_ms=15.0)], metrics)
    assert [metric.name for metric in metrics] == ["mel_db", "si_sdr_db"]
    for sound in outcome.sounds:
        result = sound.results[0]
        assert result.lag_ms == 15.0
        # Files at other rates are resampled before and after the delay, which changes them slightly.
        assert result.scores["mel_db"].value < 0.05 and result.scores["si_sdr_db"].value > 45
    assert outcome.sounds[0].results[0].scores == {"mel_db": (0.0, 1.0), "si_sdr_db": (100.0, 1.0)}


def test_delay_is_robust_to_one_outlier(sounds):
    class Stumbling(Delayed):
        def code(self, sound):
            self.lag_ms = 40.0 if sound.rate_hz == 24_000 else 15.0
            return super().code(sound)

    assert measure_delay(Stumbling(), find_sounds(sounds)) == 240
    assert measure_delay(Refusing(), find_sounds(sounds)) == 0


def test_bitrates_are_bytes_times_eight_over_duration(sounds):
    systems = [Delayed()]
    outcome = run(sounds, systems, [])
    for sound in outcome.sounds:
        result = sound.results[0]
        assert result.payload_kbps == pytest.approx(result.payload_bytes * 8 / sound.duration_s / 1000)
        assert result.file_kbps == pytest.approx((result.payload_bytes + 50) * 8 / sound.duration_s / 1000)
    row = summarize(outcome, ["delayed-1"], [])[0]
    assert row["payload_kbps"] == pytest.approx(8.0) and row["n_files"] == 3
    assert row["duration_s"] == pytest.approx(3.3)


def test_damaged_files_are_skipped_and_reported(sounds):
    outcome = run(sounds, [Delayed(), Refusing()], [Counted().metric])
    assert [sound.file for sound in outcome.sounds] == ["a.wav", "b.flac", "inner/c.wav"]
    assert list(outcome.skipped) == ["d.wav"]
    assert all(sound.failures == {"refusing-1": "This codec rejects everything."} for sound in outcome.sounds)


def test_missing_scores_have_a_reason_and_no_mean(sounds):
    outcome = run(sounds, [Delayed()], [UNDECIDED, Counted().metric])
    assert outcome.sounds[0].results[0].problems == {"undecided": "This metric has no score."}
    assert list(summarize(outcome, ["delayed-1"], [UNDECIDED, Counted().metric])[0]["scores"]) == ["peak"]
    assert compare(outcome, ["delayed-1"], ["delayed-1"], [UNDECIDED]) == []


def test_codec_sizes_equal_a_real_file(sounds, checkpoint, tmp_path):
    systems = codec_systems(checkpoint, [1, 3])
    assert [system.name for system in systems] == ["tiny-1", "tiny-3"]
    outcome = run(sounds, systems, [])
    file = tmp_path / "a.pgc"
    encode_file(sounds / "a.wav", file, systems[1].codec, codes_hash(checkpoint), n_codebooks=3)
    survey = survey_file(file)
    result = outcome.sounds[0].results[1]
    assert (result.file_bytes, result.payload_bytes) == (file.stat().st_size, survey.payload_bytes)
    assert result.file_kbps == pytest.approx(survey.file_kbps)
    assert result.bandwidth_hz == 4000


def test_retrained_decoder_changes_the_system_identity(checkpoint, monkeypatch):
    before = codec_systems(checkpoint, [3])[0]
    monkeypatch.setattr(TinyCodec, "code_parts", ("analysis",))
    save_codec(checkpoint, before.codec)
    first = codec_systems(checkpoint, [3])[0]
    with torch.no_grad():
        first.codec.synthesis.weight.mul_(0.5)
    save_codec(checkpoint, first.codec)
    second = codec_systems(checkpoint, [3])[0]
    assert first.codes == second.codes and first.identity != second.identity


def test_default_codebook_counts_are_a_quarter_half_and_all(checkpoint):
    assert [system.n_codebooks for system in codec_systems(checkpoint, None)] == [1, 3]


def test_second_run_computes_only_new_scores(sounds, tmp_path):
    system, first, second = Delayed(), Counted("first"), Counted("second")
    cache = ResultCache(tmp_path / "cache")
    before = run(sounds, [system], [first.metric, UNDECIDED], cache=cache)
    assert (system.n_calls, first.n_calls) == (6, 3)  # three for the delay
    again = run(sounds, [system], [first.metric, UNDECIDED], cache=cache)
    assert again == before and (system.n_calls, first.n_calls) == (9, 3)
    run(sounds, [system], [first.metric, second.metric], cache=cache)
    assert (system.n_calls, first.n_calls, second.n_calls) == (15, 3, 3)
    run(sounds, [Delayed(gain=0.5)], [first.metric], cache=cache)
    assert first.n_calls == 6


def test_damaged_cache_entries_are_recomputed(sounds, tmp_path):
    cache, metric = ResultCache(tmp_path / "cache"), Counted()
    before = run(sounds, [Delayed()], [metric.metric], cache=cache)
    for entry, content in zip(sorted((tmp_path / "cache").iterdir()), (b"", b"[1]", b'{"scores": '), strict=True):
        entry.write_bytes(content)
    assert run(sounds, [Delayed()], [metric.metric], cache=cache) == before
    assert metric.n_calls == 6


def test_progress_reaches_the_end_with_damaged_files(sounds):
    steps = []
    run(sounds, [Delayed(), Refusing()], [], report=lambda *step: steps.append(step))
    assert steps[0][:2] == (0, 8) and steps[1] == (0, 8, "a.wav: delayed-1") and steps[-1] == (8, 8, "")
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)


def test_differences_are_paired_and_marked_when_clear(sounds):
    loud, quiet, metric = Delayed("loud-1"), Delayed("quiet-1", gain=0.5), Counted()
    outcome = run(sounds, [loud, quiet], [metric.metric])
    row = compare(outcome, ["quiet-1"], ["loud-1"], [metric.metric])[0]
    peaks = [sound.results[0].scores["peak"].value for sound in outcome.sounds]
    assert row["mean"] == pytest.approx(-np.mean(peaks) / 2, rel=0.01) and row["is_clear"] and row["n"] == 3
    assert not compare(outcome, ["loud-1"], ["loud-1"], [metric.metric])[0]["is_clear"]


def test_limit_spreads_over_the_files(sounds):
    assert [path.name for path in find_sounds(sounds, 2)] == ["a.wav", "d.wav"]
    assert len(find_sounds(sounds, 100)) == 4


@pytest.mark.parametrize("place", ["none", "sounds/notes.txt"])
def test_folder_without_audio_is_rejected(sounds, place):
    with pytest.raises(BadSettings):
        find_sounds(sounds.parent / place)
    (sounds.parent / "empty").mkdir()
    with pytest.raises(BadSettings, match="has no audio files"):
        find_sounds(sounds.parent / "empty")


def test_transcripts_are_matched_by_file_name(sounds, tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    rows = [{"file": "somewhere/a.opus", "text": "one"}, {"file": "c.wav", "text": "three", "more": 1}]
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n")
    texts = []
    metric = Metric(
        "text", "text", "lower", "text-1", lambda pair: texts.append(pair.text) or MetricScore(0.0, 2.0), True
    )
    run(sounds, [Original()], [metric], transcripts=read_transcripts(manifest))
    assert texts == ["one", None, "three"]


@pytest.mark.parametrize("content", ["{", '{"file": "a"}', '["a"]', '{"file": 3, "text": ""}'])
def test_invalid_transcript_lists_are_rejected(tmp_path, content):
    (tmp_path / "manifest.jsonl").write_text(content)
    with pytest.raises(BadSettings, match="not a list of transcripts"):
        read_transcripts(tmp_path / "manifest.jsonl")


class Echo:
    """A fake recognizer whose transcript depends on the length of the audio."""

    def __init__(self, folder):
        self.n_calls = 0

    def transcribe(self, samples):
        self.n_calls += 1
        return {16_000: "the cat sat", 8_000: "the bat sat"}[len(samples)]


@pytest.fixture
def echo(monkeypatch, tmp_path):
    monkeypatch.setattr("backend.evaluation.codec.metrics.Recognizer", Echo)
    (tmp_path / "model.bin").write_bytes(b"weights")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wer", "cer"), [("The cat sat.", 1 / 3, 1 / 9), ("the bat sat", 0.0, 0.0), (None, 1 / 3, 1 / 9)]
)
def test_error_rates_are_weighted_by_length(echo, text, wer, cer):
    panel = open_metrics(asr=echo, has_transcripts=text is not None)
    metrics = {metric.name: metric for metric in panel.metrics}
    pair = Pair(np.ones(RATE_HZ, np.float32), np.ones(RATE_HZ // 2, np.float32), text)
    assert metrics["wer"].score(pair) == (pytest.approx(wer), 3)
    assert metrics["cer"].score(pair) == (pytest.approx(cer), 9)
    assert ("given text" if text else "original") in metrics["wer"].title


def test_each_signal_is_transcribed_once(echo):
    transcripts = Transcripts(echo)
    transcripts.require()
    sound = np.ones(RATE_HZ, np.float32)
    assert [transcripts(sound), transcripts(sound.copy())] == ["the cat sat"] * 2
    assert transcripts._recognizer.n_calls == 1


def test_disabled_metrics_are_listed_with_their_option():
    absent = open_metrics().absent
    assert {"wer", "cer", "speaker"} <= set(absent)
    assert "--asr" in absent["wer"] and "--speaker" in absent["speaker"]
