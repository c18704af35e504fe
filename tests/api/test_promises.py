"""End-to-end guarantees of the routes, with the real engine and a small random model."""

import numpy as np
import pytest

from backend.audio.writers import FORMATS
from backend.opt_engine import OptimizedEngine
from tests.support.audio_decoding import decoded
from tests.support.served import asked_here
from tests.support.small_engine import open_small, settings_in

BODY = {"text": "Hello there.", "seed": 3, "max_new_tokens": 12, "use_memory_cache": "off"}
RATE_HZ, N_SAMPLES = 8000, 12 * 160 - 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def http(folder):
    with asked_here(OptimizedEngine(settings_in(folder), open_small)) as client:
        yield client


def test_streamed_wav_has_a_header_and_equals_the_whole_wav(http):
    whole, streamed = (http.post("/tts", json={**BODY, "streaming": streaming}).content for streaming in (False, True))
    assert whole[:4] == streamed[:4] == b"RIFF" and whole[8:16] == streamed[8:16] == b"WAVEfmt "
    assert streamed[44:] == whole[44:] and len(whole) == 44 + 2 * N_SAMPLES


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("format", ["wav", "pcm", "flac", "ogg", "opus", "mp3", "aac", "m4b", "m4a", "WAV", ""])
def test_every_format_is_served_or_rejected(http, format, streaming):
    answer = http.post("/tts", json={**BODY, "format": format, "streaming": streaming})
    is_known = format in FORMATS or (format == "ogg" and not streaming)
    assert answer.status_code == (200 if is_known else 400)
    if not is_known:
        assert "format" in answer.json()["message"] or "stream" in answer.json()["message"]
    elif format == "pcm":
        assert len(answer.content) == 2 * N_SAMPLES
    else:
        samples, rate_hz = decoded(answer.content, format)
        # Bare AAC and a streamed MP3 begin and end with a frame or two of silence.
        assert samples.shape[1] / rate_hz == pytest.approx(N_SAMPLES / RATE_HZ, abs=0.3)


def test_unknown_voice_is_404_and_creates_nothing(http, folder):
    before = sorted(folder.rglob("*"))
    for field in ("voice", "reference_id"):
        for streaming in (False, True):
            answer = http.post("/tts", json={**BODY, field: "nobody", "streaming": streaming})
            assert answer.status_code == 404 and answer.json()["error"] == "UnknownVoice"
    assert sorted(folder.rglob("*")) == before


def test_truncated_speech_is_reported(http):
    assert http.post("/tts", json=BODY).headers["x-finish-reason"] == "length"


def test_speed_is_honored(http):
    sizes = [len(http.post("/tts", json={**BODY, "format": "pcm", "speed": speed}).content) for speed in (1.0, 0.5)]
    assert np.diff(sizes) == sizes[0]
