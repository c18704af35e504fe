"""The routes with `OptimizedEngine` and a tiny random model."""

import io
import socket

import httpx
import pytest

from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from backend.opt_engine import OptimizedEngine
from tests.support.served import open_speeches, served, within
from tests.support.small_engine import open_small, settings_in

ASK = {"text": "Hello there.", "seed": 3, "max_new_tokens": 12, "format": "pcm", "use_memory_cache": "off"}


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    engine = OptimizedEngine(settings_in(tmp_path_factory.mktemp("data")), open_small)
    with served(engine) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        within(30, lambda: http.get("/ready").status_code == 200)
        yield http


def test_streamed_and_whole_speech_are_the_same_bytes(http):
    whole, streamed = (http.post("/tts", json={**ASK, "streaming": streaming}) for streaming in (False, True))
    assert whole.status_code == streamed.status_code == 200
    assert whole.content == streamed.content and len(whole.content) > 1000
    assert whole.headers["x-seed"] == streamed.headers["x-seed"] == "3"
    assert whole.headers["x-frames"] == "12" and whole.headers["x-finish-reason"] == "length"
    assert float(whole.headers["x-audio-seconds"]) == pytest.approx(len(whole.content) / 2 / 8000, abs=1e-3)


def test_added_voice_speaks_until_it_is_removed(http):
    sound = encode_audio(Waveform.of(speech_like(duration_s=2.0, rate_hz=8000), 8000), "wav")
    form = {"name": "Ann", "text": "some words", "consent": "true"}
    voice = http.post("/voices", data=form, files={"audio": io.BytesIO(sound)}).json()
    assert voice["name"] == "Ann" and voice["duration_s"] == 2.0
    assert http.post("/voices", data=form, files={"audio": sound}).status_code == 409
    assert http.post("/tts", json={**ASK, "voice": voice["id"]}).status_code == 200
    assert http.delete(f"/voices/{voice['id']}").status_code == 204
    assert http.post("/tts", json={**ASK, "voice": voice["id"]}).status_code == 404


def test_damaged_recording_is_a_400(http):
    for answer in (
        http.post("/tts", data={"text": "x"}, files={"reference_audio": b"RIFF"}),
        http.post("/voices", data={"name": "Bob", "consent": "true"}, files={"audio": b"RIFF"}),
    ):
        assert answer.status_code == 400 and answer.json()["error"] == "BadAudio"


def test_disconnect_frees_the_slot(http):
    body = b'{"text": "Hello there.", "streaming": true, "use_memory_cache": "off", "max_new_tokens": 32768}'
    with socket.create_connection((http.base_url.host, http.base_url.port)) as client:
        head = f"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert client.recv(15).startswith(b"HTTP/1.1 200")
    within(5, lambda: open_speeches(http, "") == 0)
    within(5, lambda: http.get("/ready").json()["engine"]["batch"]["active"] == 0)


def test_engine_reports_itself(http):
    assert http.get("/ready").json()["engine"]["model"] == "small"
    assert "phonogram_engine_batch_rows" in http.get("/metrics").text
    assert http.get("/emotions").json()["era"]
    assert set(http.post("/cache/clear").json()["cleared"]) >= {"references", "codes"}
