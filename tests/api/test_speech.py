"""`POST /tts`: parameters reach the engine, and audio reaches the client, whole or streamed."""

import base64
import io
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from backend.api.speech.request import SpeechBody
from backend.audio.files import read_audio
from backend.audio.pcm import to_int16
from backend.errors import BadVoice, Busy, EngineFailure, NotAvailable, TimedOut
from backend.runtime.request import ReferenceClip, SpeechRequest
from tests.support.audio_decoding import decoded
from tests.support.fake_engine import RATE_HZ, FakeEngine, sound_of
from tests.support.served import asked_here

TEXT = "The quick brown fox jumps over the lazy dog."


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def expected(text=TEXT, seed=1):
    return to_int16(sound_of(SpeechRequest(text=text), seed)).T


def samples_of(answer, format):
    if format == "pcm":
        return np.frombuffer(answer.content, "<i2")[:, None]
    sound = read_audio(answer.content)
    assert sound.rate_hz == RATE_HZ
    return to_int16(sound.samples).T


def test_default_request_returns_a_wav_file_with_metrics(http):
    answer = http.post("/tts", json={"text": TEXT})
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/wav"
    assert np.array_equal(samples_of(answer, "wav"), expected())
    assert float(answer.headers["x-audio-seconds"]) == len(expected()) / RATE_HZ
    assert {"x-seed", "x-rtf", "x-first-audio-ms", "x-queue-ms", "x-semantic-ms", "x-finish-reason"} <= set(
        answer.headers
    )
    assert "x-ignored-params" not in answer.headers


@pytest.mark.parametrize("format", ["wav", "pcm", "flac"])
def test_streamed_answer_holds_the_samples_of_the_whole_one(http, format):
    whole = http.post("/tts", json={"text": TEXT, "format": format, "seed": 5})
    streamed = http.post("/tts", json={"text": TEXT, "format": format, "seed": 5, "streaming": True})
    assert "content-length" in whole.headers and "content-length" not in streamed.headers
    assert streamed.headers["content-type"] == whole.headers["content-type"]
    assert streamed.headers["x-seed"] == "5" and float(streamed.headers["x-first-audio-ms"]) > 0
    assert np.array_equal(samples_of(streamed, format), samples_of(whole, format))
    assert np.array_equal(samples_of(whole, format), expected(seed=5))


KINDS = {
    "mp3": "audio/mpeg", "opus": "audio/ogg; codecs=opus", "aac": "audio/aac", "m4b": "audio/mp4", "ogg": "audio/ogg",
}  # fmt: skip


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "m4b"])
def test_streamed_lossy_formats_equal_the_whole_response(http, format):
    whole, streamed = (
        http.post("/tts", json={"text": TEXT, "format": format, "streaming": streaming}) for streaming in (False, True)
    )
    assert whole.headers["content-type"] == streamed.headers["content-type"] == KINDS[format]
    if format == "mp3":
        # The whole one has a frame in front that tells its length.
        assert whole.content.endswith(streamed.content) and len(whole.content) - len(streamed.content) < 300
    else:
        assert whole.content == streamed.content
    samples, rate_hz = decoded(whole.content, format)
    assert 0 <= samples.shape[1] / rate_hz - len(expected()) / RATE_HZ < 0.3 and np.abs(samples).max() > 0.2


def test_vorbis_is_not_streamed(http):
    answer = http.post("/tts", json={"text": TEXT, "format": "ogg"})
    assert answer.headers["content-type"] == KINDS["ogg"]
    samples, rate_hz = soundfile.read(io.BytesIO(answer.content))
    assert abs(len(samples) / rate_hz - len(expected()) / RATE_HZ) < 0.2 and np.abs(samples).max() > 0.2
    refused = http.post("/tts", json={"text": TEXT, "format": "ogg", "streaming": True})
    assert refused.status_code == 400 and "wav, pcm, flac" in refused.json()["message"]


def test_references_are_equal_in_json_and_as_uploads(http):
    clips = [(b"RIFF one", "first words"), (b"RIFF two", "")]
    http.post(
        "/tts",
        json={
            "text": "x",
            "references": [{"audio": base64.b64encode(audio).decode(), "text": text} for audio, text in clips],
        },
    )
    http.post(
        "/tts",
        data={"text": "x", "reference_text": [text for _, text in clips]},
        files=[("reference_audio", (f"{n}.wav", audio)) for n, (audio, _) in enumerate(clips)],
    )
    by_json, by_form = http.engine.asked
    assert by_json.references == tuple(ReferenceClip(*clip) for clip in clips)
    assert by_form == by_json


def test_empty_form_fields_count_as_omitted(http):
    answer = http.post(
        "/tts", data={"text": "x", "seed": "", "voice": "", "reference_text": ""}, files={"reference_audio": b""}
    )
    assert answer.status_code == 200
    assert http.engine.asked == [SpeechRequest(text="x", whole=True)]


def test_null_equals_an_omitted_field(http):
    names = [name for name in SpeechBody.model_fields if name != "text"]
    assert http.post("/tts", json={"text": "x", **dict.fromkeys(names)}).status_code == 200
    assert http.engine.asked == [SpeechRequest(text="x", whole=True)]
    for body, name in (({"text": None}, "text is missing"), ({"text": "x", "colour": None}, "Unknown field 'colour'")):
        refused = http.post("/tts", json=body)
        assert refused.status_code == 400 and name in refused.json()["message"]


def test_parameters_ignored_by_the_checkpoint_are_named(http):
    http.engine.ignored = ("top_k", "min_p")
    for streaming in (False, True):
        answer = http.post("/tts", json={"text": "x", "top_k": 3, "min_p": 0.1, "streaming": streaming})
        assert answer.headers["x-ignored-params"] == "top_k, min_p"


@pytest.mark.parametrize(
    ("route", "body"),
    [("/tts", {"text": "x"}), ("/tts", {"text": "x", "streaming": True}), ("/tts/timed?output=srt", {"text": "x"}),
     ("/v1/audio/speech", {"input": "x", "model": "tts-1", "voice": "hum", "instructions": "Softly."}),
     ("/v1/tts", {"text": "x", "format": "mp3", "mp3_bitrate": 64}), ("/v1/text-to-speech/hum", {"text": "x"})],
)  # fmt: skip
def test_ignored_params_header_encodes_non_ascii(http, route, body):
    http.engine.ignored = ("Not spoken: '你好 😀\r\nX-Injected: yes' and 5%",)
    answer = http.post(route, json=body)
    assert answer.status_code == 200 and "x-injected" not in answer.headers
    assert answer.headers["x-ignored-params"].isascii()
    assert unquote(answer.headers["x-ignored-params"]).startswith(http.engine.ignored[0])


def test_long_ignored_params_header_is_truncated(http):
    http.engine.ignored = ("好" * 5000,)
    told = http.post("/tts", json={"text": "x"}).headers["x-ignored-params"]
    assert len(told) <= 4003 and set(unquote(told, errors="strict").removesuffix("...")) == {"好"}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Busy("9 requests wait already.", retry_after_s=2.5), 429),
        (NotAvailable("No weights."), 503),
        (EngineFailure("The lm thread failed."), 500),
        (TimedOut("Took too long."), 504),
        (BadVoice("No consent."), 400),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_before_the_first_chunk_have_their_status(http, refusal, status, streaming):
    http.engine.refusal = refusal
    answer = http.post("/tts", json={"text": "x", "streaming": streaming})
    assert answer.status_code == status
    assert answer.json() == {"error": type(refusal).__name__, "message": str(refusal)}
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)


def test_failure_before_the_first_chunk_is_a_status_when_streaming(http):
    http.engine.fail_after_samples, http.engine.failure = 0, EngineFailure("The lm thread failed.")
    assert http.post("/tts", json={"text": "x", "streaming": True}).status_code == 500


def test_failure_during_synthesis_never_returns_a_short_file(http):
    http.engine.fail_after_samples, http.engine.failure = 2400, EngineFailure("The lm thread failed.")
    answer = http.post("/tts", json={"text": TEXT})
    assert answer.status_code == 500 and answer.json()["message"] == "The lm thread failed."


def test_internal_errors_reveal_no_internals(http):
    http.engine.refusal = ZeroDivisionError("secret/path.py")
    answer = http.post("/tts", json={"text": "x"}, headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500 and answer.headers["x-request-id"] == "abc-1"
    assert "secret" not in answer.text and "Traceback" not in answer.text and "abc-1" in answer.text


@pytest.mark.parametrize("streaming", [False, True])
def test_failed_response_leaves_no_open_speech(http, streaming):
    http.engine.ignored = (None,)  # no header can say this
    assert http.post("/tts", json={"text": "x", "streaming": streaming}).status_code == 500
    assert "phonogram_open_speeches 0.0" in http.get("/metrics").text


def test_missing_engine_is_reported():
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    with asked_here(engine) as http:
        for answer in (http.post("/tts", json={"text": "x"}), http.get("/voices"), http.get("/emotions")):
            assert answer.status_code == 503
            assert answer.json()["message"] == "No checkpoint in checkpoints/."
        ready = http.get("/ready")
        assert ready.status_code == 503 and ready.json()["loading"] is False
        assert http.get("/health").status_code == 200
        assert http.get("/metrics").status_code == 200
        assert http.post("/tts", json={"text": "x", "voices": 1}).status_code == 400


def test_engine_closes_with_the_server():
    with asked_here() as http:
        engine = http.engine
        assert http.get("/ready").json()["engine"]["model"] == "hum"
        assert not engine.is_closed
    assert engine.is_closed
