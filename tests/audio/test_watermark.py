"""Watermark detection, level, robustness and streaming."""

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.audio.files import read_audio
from backend.audio.resample import resample
from backend.audio.watermark import LEVEL_DB, StreamMarker, carrier, check
from backend.audio.waveform import Waveform
from backend.audio.writers import open_writer
from backend.cli.main import app
from backend.data.synthetic import speech_like
from backend.opt_engine import OptimizedEngine
from backend.runtime.request import SpeechRequest
from tests.support.small_engine import open_small, settings_in

RATE_HZ = 24_000


def marked(sound, key="ours", piece=10**9):
    marker = StreamMarker(key, sound.rate_hz, sound.n_channels)
    pieces = [marker.push(sound.samples[:, at : at + piece]) for at in range(0, sound.n_samples, piece)]
    return Waveform(np.concatenate([*pieces, marker.finish()], axis=1), sound.rate_hz)


@pytest.fixture(scope="module")
def speech():
    return Waveform.of(speech_like(duration_s=20.0, rate_hz=RATE_HZ, seed=3), RATE_HZ)


@pytest.fixture(scope="module")
def ours(speech):
    return marked(speech)


@pytest.mark.parametrize("piece", [1, 239, 240, 4096])
def test_streaming_watermark_equals_whole_watermark(speech, piece):
    short = Waveform(speech.samples[:, :5001], RATE_HZ)
    assert np.array_equal(marked(short, piece=piece).samples, marked(short).samples)


@pytest.mark.parametrize("n_samples", [0, 1, 240, 481])
def test_watermark_keeps_the_length(speech, n_samples):
    assert marked(Waveform(speech.samples[:, :n_samples], RATE_HZ)).n_samples == n_samples


def test_watermark_is_detected_with_its_key_only(speech, ours):
    assert check(ours, "ours").is_watermarked
    assert not check(ours, "theirs").is_watermarked and not check(speech, "ours").is_watermarked


def test_watermark_survives_mp3_resampling_and_cutting(ours):
    writer = open_writer("mp3", RATE_HZ, 1, ours.n_samples, 64)
    as_mp3 = read_audio(writer.push(ours.samples) + writer.finish())
    assert check(as_mp3, "ours").is_watermarked
    cut = Waveform(ours.samples[:, 9001:-7000], RATE_HZ)
    for rate_hz in (16_000, 44_100):
        assert check(resample(cut, rate_hz), "ours").is_watermarked


def test_watermark_level_is_low_and_silence_stays_silent(speech, ours):
    difference = ours.samples - speech.samples
    below_db = 10 * np.log10(np.mean(difference**2) / np.mean(speech.samples**2))
    assert -60 < below_db <= LEVEL_DB
    silence = Waveform(np.zeros((1, RATE_HZ), np.float32), RATE_HZ)
    assert not np.any(marked(silence).samples)


def test_carrier_is_the_same_at_every_rate():
    at_16k = carrier("ours", 16_000)
    again = np.fft.irfft(np.fft.rfft(carrier("ours", 44_100))[:8001], 16_000) * 16_000 / 44_100
    assert np.allclose(at_16k, again, atol=1e-9) and np.mean(at_16k**2) == pytest.approx(1, rel=0.01)


def test_short_clips_are_never_reported_as_watermarked(ours):
    assert check(Waveform(ours.samples[:, :RATE_HZ], RATE_HZ), "ours").score == 0


def test_engine_watermarks_speech_only_when_enabled(tmp_path):
    request = SpeechRequest(text="Hello there.", seed=1, max_new_tokens=40, use_memory_cache=False)
    results = {}
    for name, changes in {
        "off": {},
        "on": {"watermark": True},
        "other": {"watermark": True, "watermark_key": "x"},
    }.items():
        engine = OptimizedEngine(settings_in(tmp_path, **changes), open_small)
        engine.load()
        stream = engine.stream(request)
        results[name] = stream.collect().waveform.samples
        assert stream.is_watermarked == (name != "off") == engine.status().is_watermarked
        results[f"{name} key"] = engine.voice_key(None)
        engine.close()
    plain = Waveform(results["off"], 8000)
    assert np.array_equal(results["on"], marked(plain, "phonogram").samples)
    assert not np.array_equal(results["on"], results["off"]) and not np.array_equal(results["on"], results["other"])
    # All sentences of a job have the same watermark setting.
    assert len({results[f"{name} key"] for name in ("off", "on", "other")}) == 3


def test_watermark_command_reports_by_exit_code(ours, speech, tmp_path):
    from backend.audio.files import write_audio

    for name, sound, code in (("ours.wav", ours, 0), ("plain.wav", speech, 1)):
        write_audio(tmp_path / name, sound)
        told = CliRunner().invoke(app, ["watermark", "check", str(tmp_path / name), "--key", "ours"])
        assert (
            told.exit_code == code
            and ("no watermark detected" if code else f"{name}: watermark detected") in told.output
        )
