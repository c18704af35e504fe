"""The fish-compatible `POST /v1/tts`: JSON, msgpack and forms; each field has an effect or is reported."""

import base64
import io
import wave

import httpx
import msgpack
import numpy as np
import pytest

from backend.api.compat.fish_schemas import form_schema, json_schema
from backend.audio.files import encode_audio, read_audio
from backend.audio.waveform import Waveform
from tests.support.audio_decoding import decoded
from tests.support.fake_engine import RATE_HZ, SAMPLES_PER_CHAR, FakeEngine
from tests.support.served import asked_here, served

SOUND = encode_audio(Waveform.of(0.5 * np.sin(np.arange(4000) / 5).astype(np.float32), 8000), "wav")
TEXT = "Hello there."
N_SAMPLES = len(TEXT) * SAMPLES_PER_CHAR
CLIP = {"audio": base64.b64encode(SOUND).decode(), "text": "some words"}
PACKED = {"Content-Type": "application/msgpack"}

# A value other than the default for every field, and what is asked of the engine then.
HONORED = {
    "text": ("Goodbye.", {"text": "Goodbye."}),
    "reference_id": ("hum", {"voice": "hum"}),
    "seed": (77, {"seed": 77}),
    "temperature": (0.3, {"temperature": 0.3}),
    "top_p": (0.5, {"top_p": 0.5}),
    "repetition_penalty": (1.3, {"repetition_penalty": 1.3}),
    "max_new_tokens": (50, {"max_new_tokens": 50}),
    "chunk_length": (120, {"chunk_length": 120}),
    "normalize": (False, {"normalize": False}),
    "latency": ("low", {"latency": "low"}),
    "use_memory_cache": ("off", {"use_memory_cache": False}),
    "prosody": ({"speed": 1.5}, {"speed": 1.5}),
    "streaming": (True, {"whole": False}),
}
ANSWERED = {"references", "format", "sample_rate", "mp3_bitrate", "opus_bitrate"}
REPORTED = {
    "stream_tokens": True, "stream_chunk_size": 9, "min_chunk_length": 50, "condition_on_previous_chunks": True,
    "early_stop_threshold": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def http():
    with asked_here() as client:
        yield client


def say(http, **fields):
    answer = http.post("/v1/tts", json={"text": TEXT, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def test_every_field_is_tested():
    assert set(HONORED) | ANSWERED | set(REPORTED) == set(json_schema()["properties"])
    named = set(form_schema()["properties"]) - {"reference_audio", "reference_text"}
    assert named == set(json_schema()["properties"]) - {"references"}


@pytest.mark.parametrize("name", HONORED)
def test_field_reaches_the_engine(http, name):
    value, expected = HONORED[name]
    say(http)
    plain = http.engine.asked[-1]
    answer = say(http, **{name: value})
    asked = http.engine.asked[-1]
    assert {key: getattr(asked, key) for key in expected} == expected
    assert all(getattr(plain, key) != wanted for key, wanted in expected.items())
    assert "x-ignored-params" not in answer.headers


@pytest.mark.parametrize("name", REPORTED)
def test_unsupported_field_is_reported(http, name):
    assert say(http, **{name: REPORTED[name]}).headers["x-ignored-params"] == name


def test_parameters_ignored_by_the_engine_are_also_reported(http):
    http.engine.ignored = ("top_k",)
    assert say(http, stream_tokens=True).headers["x-ignored-params"] == "top_k, stream_tokens"
    http.engine.ignored = ()


def test_unknown_field_is_refused_by_name(http):
    refused = http.post("/v1/tts", json={"text": TEXT, "tempreture": 1})
    assert refused.status_code == 400 and "did you mean temperature?" in refused.json()["message"]


def test_json_msgpack_and_form_ask_for_the_same(http):
    fields = {"text": TEXT, "seed": 5, "top_p": 0.5, "prosody": {"speed": 1.5}}
    answers = [
        http.post("/v1/tts", json={**fields, "references": [CLIP]}),
        http.post(
            "/v1/tts",
            headers=PACKED,
            content=msgpack.packb({**fields, "references": [{"audio": SOUND, "text": "some words"}]}),
        ),
        http.post(
            "/v1/tts",
            data={**fields, "prosody": '{"speed": 1.5}', "reference_text": "some words"},
            files={"reference_audio": SOUND},
        ),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert http.engine.asked[-1] == http.engine.asked[-2] == http.engine.asked[-3]
    assert http.engine.asked[-1].references[0].audio == SOUND
    assert answers[0].content == answers[1].content == answers[2].content


def test_unknown_reference_is_a_404(http):
    refused = http.post("/v1/tts", json={"text": TEXT, "reference_id": "nobody"})
    assert refused.status_code == 404
    assert refused.json()["statusCode"] == 404 and "nobody" in refused.json()["message"]


def test_reference_id_takes_precedence_and_is_reported(http):
    answer = say(http, reference_id="hum", references=[CLIP])
    assert http.engine.asked[-1].voice == "hum" and http.engine.asked[-1].references == ()
    assert answer.headers["x-ignored-params"] == "references (reference_id wins)"


@pytest.mark.parametrize("format", ["wav", "pcm", "mp3", "opus", "flac"])
@pytest.mark.parametrize("streaming", [False, True])
def test_every_format_comes_whole_and_streamed(http, format, streaming):
    answer = say(http, format=format, streaming=streaming)
    assert answer.headers["content-type"].startswith({"mp3": "audio/mpeg", "opus": "audio/ogg"}.get(format, "audio/"))
    if format == "pcm":
        assert len(answer.content) == 2 * N_SAMPLES
        return
    if format == "wav":
        assert answer.content[:4] == b"RIFF", "a stream of WAV begins with its header"
    samples = decoded(answer.content, format)[0] if format in ("mp3", "opus") else read_audio(answer.content).samples
    assert samples.shape[1] >= N_SAMPLES and np.abs(samples).max() > 0.3


@pytest.mark.parametrize("streaming", [False, True])
def test_sample_rate_is_honored(http, streaming):
    answer = say(http, format="wav", sample_rate=16000, streaming=streaming)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getframerate() == 16000
    assert answer.headers["x-sample-rate"] == "16000"
    assert (len(answer.content) - 44) // 2 == 2 * N_SAMPLES


def test_streamed_resampled_audio_equals_the_whole(http):
    whole, streamed = (say(http, format="pcm", sample_rate=24000, streaming=wish).content for wish in (False, True))
    assert whole == streamed and len(whole) == 3 * 2 * N_SAMPLES


@pytest.mark.parametrize(
    ("format", "field", "values"), [("mp3", "mp3_bitrate", (64, 128)), ("opus", "opus_bitrate", (24, 64))]
)
def test_bitrate_is_honored(http, format, field, values):
    few, many = (
        say(http, text=TEXT * 20, format=format, sample_rate=48000, **{field: kbps}).content for kbps in values
    )
    assert len(many) > 1.5 * len(few)
    assert say(http, format="wav", **{field: values[0]}).headers["x-ignored-params"] == f"{field} (format is wav)"


def test_unsupported_bitrate_raises_the_sample_rate(http):
    answer = say(http, format="mp3", mp3_bitrate=192)
    assert answer.headers["x-sample-rate"] == "32000" and decoded(answer.content, "mp3")[1] == 32000
    assert say(http, format="mp3", mp3_bitrate=64).headers["x-sample-rate"] == str(RATE_HZ)


def test_automatic_opus_bitrate_is_the_default(http):
    assert say(http, format="opus", opus_bitrate=-1000).content == say(http, format="opus").content


def test_volume_is_applied_and_clips(http):
    plain, quiet, loud = (
        np.frombuffer(say(http, format="pcm", prosody={"volume": db}).content, "<i2").astype(float)
        for db in (0, -6, 20)
    )
    np.testing.assert_allclose(quiet, plain * 10 ** (-6 / 20), atol=1)
    assert loud.max() == 32767 and loud.min() == -32768
    assert (np.sign(loud[plain != 0]) == np.sign(plain[plain != 0])).all(), "a clipped sample changed its sign"


@pytest.mark.parametrize(
    "field",
    [
        {"chunk_length": -5}, {"top_p": 0}, {"temperature": 9}, {"max_new_tokens": -1}, {"mp3_bitrate": 100},
        {"sample_rate": 12345}, {"prosody": {"speed": 99}}, {"prosody": {"volume": 99}}, {"prosody": {"pitch": 1}},
        {"prosody": "fast"}, {"format": "exe"}, {"latency": "none"}, {"text": " "}, {"references": [{"audio": "%%%"}]},
        {"format": "opus", "sample_rate": 44100}, {"format": "mp3", "sample_rate": 8000, "mp3_bitrate": 128},
    ],
    ids=str,
)  # fmt: skip
def test_bounds_bind(http, field):
    n_asked = len(http.engine.asked)
    refused = http.post("/v1/tts", json={"text": TEXT, **field})
    assert refused.status_code == 400 and refused.json()["message"]
    assert len(http.engine.asked) == n_asked


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x93", b"\x01", b"\x91" * 9999, b"\xdf\xff\xff\xff\xff", msgpack.packb({1: 2}), b"\x81\xa4text\xa1\xff"],
    ids=lambda content: repr(content[:9]),
)  # fmt: skip
def test_msgpack_that_is_no_request_is_refused(http, content):
    refused = http.post("/v1/tts", headers=PACKED, content=content)
    assert refused.status_code == 400 and refused.json()["error"] == "BadRequest"


def test_other_kinds_of_body_are_415(http):
    refused = http.post("/v1/tts", content=b"x", headers={"Content-Type": "text/plain"})
    assert refused.status_code == 415 and "application/msgpack" in refused.json()["message"]


def test_zero_tokens_mean_no_limit(http):
    say(http, max_new_tokens=0)
    assert http.engine.asked[-1].max_new_tokens is None


def test_long_text_is_refused():
    with asked_here(max_text_chars=10) as http:
        assert http.post("/v1/tts", json={"text": "x" * 11}).status_code == 413


def test_requests_of_published_clients_are_accepted(http):
    server = {
        "text": TEXT, "references": [], "reference_id": None, "format": "wav", "max_new_tokens": 1024,
        "chunk_length": 300, "top_p": 0.8, "repetition_penalty": 1.1, "temperature": 0.8, "streaming": False,
        "use_memory_cache": "off", "seed": None, "latency": "normal", "normalize": True,
    }  # fmt: skip
    answer = http.post("/v1/tts?format=msgpack", headers=PACKED, content=msgpack.packb(server))
    assert answer.status_code == 200 and answer.content[:4] == b"RIFF"
    assert "x-ignored-params" not in answer.headers
    cloud = {
        "text": TEXT, "chunk_length": 200, "format": "mp3", "mp3_bitrate": 128, "opus_bitrate": 32, "references": [],
        "normalize": True, "latency": "balanced", "top_p": 0.7, "temperature": 0.7,
    }  # fmt: skip
    answer = http.post("/v1/tts", headers={**PACKED, "model": "s1"}, content=msgpack.packb(cloud))
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-ignored-params"] == "opus_bitrate (format is mp3)"


def test_health_answers_both_ways(http):
    assert http.get("/v1/health").json() == http.post("/v1/health").json() == {"status": "ok"}


def test_a_failure_after_the_start_breaks_the_body_off():
    engine = FakeEngine()
    engine.fail_after_samples = 800
    with served(engine) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{url}/v1/tts", json={"text": TEXT, "streaming": True, "sample_rate": 16000}, trust_env=False)


def test_default_sample_rate_is_that_of_the_engine(http):
    assert say(http, prosody={"volume": -1}).headers["x-sample-rate"] == str(RATE_HZ)
