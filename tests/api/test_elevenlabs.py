"""The ElevenLabs-compatible API: `/v1/text-to-speech` and `/v1/voices`."""

import base64
import io
import wave

import httpx
import numpy as np
import pytest

from backend.api.compat.elevenlabs_schemas import OUTPUT_FORMATS, ElevenLabsBody, VoiceSettings
from tests.support.audio_decoding import decoded
from tests.support.fake_engine import RATE_HZ, SAMPLES_PER_CHAR, FakeEngine, Voice, sound_of
from tests.support.served import asked_here, served

TEXT = "Hello there."
N_SAMPLES = len(TEXT) * SAMPLES_PER_CHAR
HONORED = {
    "text": ("Goodbye.", {"text": "Goodbye."}),
    "seed": (77, {"seed": 77}),
    "voice_settings": ({"speed": 1.2}, {"speed": 1.2}),
    "apply_text_normalization": ("off", {"normalize": False}),
}
REPORTED = {
    "model_id": "eleven_multilingual_v2", "language_code": "en", "pronunciation_dictionary_locators": [{"id": "x"}],
    "previous_text": "Before.", "next_text": "After.", "previous_request_ids": ["a"], "next_request_ids": ["b"],
    "use_pvc_as_ivc": True, "apply_language_text_normalization": True, "hcaptcha_token": "x",
}  # fmt: skip
REPORTED_SETTINGS = {"stability": 0.4, "similarity_boost": 0.7, "style": 0.1, "use_speaker_boost": True}


@pytest.fixture(scope="module")
def http():
    with asked_here() as client:
        yield client


def say(http, path="hum", format="pcm_8000", query="", **fields):
    return http.post(f"/v1/text-to-speech/{path}?output_format={format}{query}", json={"text": TEXT, **fields})


def test_every_field_is_tested():
    assert set(HONORED) | set(REPORTED) == set(ElevenLabsBody.model_fields)
    assert {"speed", *REPORTED_SETTINGS} == set(VoiceSettings.model_fields)


@pytest.mark.parametrize("name", HONORED)
def test_field_reaches_the_engine(http, name):
    value, expected = HONORED[name]
    assert "x-ignored-params" not in say(http, **{name: value}).headers
    asked = http.engine.asked[-1]
    assert {key: getattr(asked, key) for key in expected} == expected and asked.voice == "hum"
    say(http)
    assert all(getattr(http.engine.asked[-1], key) != wanted for key, wanted in expected.items())


@pytest.mark.parametrize("name", REPORTED)
def test_unsupported_field_is_reported(http, name):
    assert say(http, **{name: REPORTED[name]}).headers["x-ignored-params"] == name


def test_unsupported_settings_are_reported(http):
    answer = say(http, voice_settings={**REPORTED_SETTINGS, "speed": 1.1})
    assert answer.headers["x-ignored-params"].split(", ") == [f"voice_settings.{name}" for name in REPORTED_SETTINGS]
    assert say(http, query="&enable_logging=false").headers["x-ignored-params"] == "enable_logging"


def test_optimize_streaming_latency_sets_low_latency(http):
    say(http, query="&optimize_streaming_latency=3")
    assert http.engine.asked[-1].latency == "low"
    say(http, query="&optimize_streaming_latency=0")
    assert http.engine.asked[-1].latency == "balanced"


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_every_format_is_what_its_name_says(http, format):
    answer = say(http, format=format)
    assert answer.status_code == 200, answer.text
    kind, rate_hz = format.split("_")[0], int(format.split("_")[1])
    n_expected = N_SAMPLES * rate_hz // RATE_HZ
    if kind == "pcm":
        assert len(answer.content) == 2 * n_expected and answer.headers["content-type"] == "audio/pcm"
    elif kind == "wav":
        with wave.open(io.BytesIO(answer.content)) as file:
            assert (file.getframerate(), file.getnframes()) == (rate_hz, n_expected)
    else:
        samples, found_hz = decoded(answer.content, kind)
        assert found_hz == rate_hz and samples.shape[1] >= n_expected and np.abs(samples).max() > 0.3


@pytest.mark.parametrize(("few", "many"), [("mp3_44100_32", "mp3_44100_128"), ("opus_48000_32", "opus_48000_128")])
def test_format_name_sets_the_bitrate(http, few, many):
    sizes = [len(say(http, format=format, text=TEXT * 20).content) for format in (few, many)]
    assert sizes[1] > 2 * sizes[0]


def test_default_format_is_mp3(http):
    answer = http.post("/v1/text-to-speech/hum", json={"text": TEXT})
    assert answer.headers["content-type"] == "audio/mpeg" and answer.headers["x-sample-rate"] == "44100"


@pytest.mark.parametrize("format", ["pcm_8000", "pcm_24000", "opus_48000_64"])
def test_streamed_speech_equals_the_whole(http, format):
    whole, streamed = (say(http, path, format, seed=3).content for path in ("hum", "hum/stream"))
    assert http.engine.asked[-2].whole and not http.engine.asked[-1].whole
    if format == "pcm_8000":
        wanted = sound_of(http.engine.asked[-1], 3)[0]
        np.testing.assert_allclose(np.frombuffer(whole, "<i2") / 32768, wanted, atol=1e-4)
    assert whole == streamed


@pytest.mark.parametrize("format", ["mp3_44100_7", "ulaw_8000", "pcm_12345", "../etc", ""])
def test_unknown_format_error_lists_the_formats(http, format):
    refused = say(http, format=format)
    assert refused.status_code == 400 and "mp3_44100_128" in refused.json()["message"]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("nobody", {}, 404),
        ("..%2f..%2fetc", {}, 404),
        ("hum", {"text": " "}, 400),
        ("hum", {"seed": -1}, 400),
        ("hum", {"voice_settings": {"speed": 9}}, 400),
        ("hum", {"voice_settings": {"tone": 1}}, 400),
        ("hum", {"mood": 1}, 400),
    ],
)
def test_errors_have_the_detail_that_clients_read(http, path, fields, status):
    refused = say(http, path, **fields)
    assert refused.status_code == status
    assert refused.json()["detail"]["message"] == refused.json()["message"]


def test_error_names_its_kind(http):
    assert say(http, "nobody").json()["detail"]["status"] == "unknown_voice"
    assert http.post("/v1/text-to-speech/hum", data={"text": "x"}).status_code == 415


def test_voices_are_listed_with_preview_urls(http):
    (voice,) = http.get("/v1/voices").json()["voices"]
    assert (voice["voice_id"], voice["name"], voice["category"]) == ("hum", "Hum", "cloned")
    assert http.get(voice["preview_url"]).headers["content-type"] == "audio/wav"
    assert http.get("/v1/voices/hum").json() == voice
    assert http.get("/v1/voices/nobody").json()["detail"]["status"] == "unknown_voice"


def test_xi_api_key_header_is_accepted():
    with asked_here(api_key="s3cret-s3cret-s3cret") as http:
        assert http.get("/v1/voices").status_code == 401
        assert http.get("/v1/voices", headers={"xi-api-key": "wrong"}).json()["detail"]["status"] == "unauthorized"
        assert http.get("/v1/voices", headers={"xi-api-key": "s3cret-s3cret-s3cret"}).status_code == 200


def test_long_text_is_refused():
    with asked_here(max_text_chars=10) as http:
        assert say(http).status_code == 413


def test_a_failure_after_the_start_breaks_the_body_off():
    engine = FakeEngine()
    engine.fail_after_samples = 800
    with served(engine) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{url}/v1/text-to-speech/hum/stream", json={"text": TEXT * 9}, trust_env=False)


@pytest.mark.parametrize("has_words", [True, False])
def test_timestamps_cover_the_audio_of_the_plain_route(http, has_words):
    http.engine.has_words = has_words
    try:
        timed = say(http, "hum/with-timestamps", seed=3)
    finally:
        http.engine.has_words = True
    assert timed.status_code == 200, timed.text
    assert base64.b64decode(timed.json()["audio_base64"]) == say(http, seed=3).content
    alignment = timed.json()["alignment"]
    starts, ends = alignment["character_start_times_seconds"], alignment["character_end_times_seconds"]
    assert "".join(alignment["characters"]) == TEXT and len(starts) == len(ends) == len(TEXT)
    assert starts == sorted(starts) and all(start <= end for start, end in zip(starts, ends, strict=True))
    assert ends[-1] == pytest.approx(N_SAMPLES / RATE_HZ, abs=0.002)


def test_timestamps_of_an_unknown_voice_are_a_404(http):
    assert say(http, "nobody/with-timestamps").status_code == 404


def test_voice_can_be_deleted(http):
    http.engine.stored["mine"] = Voice("mine", "Mine")
    assert http.delete("/v1/voices/mine").json() == {"status": "ok"} and "mine" not in http.engine.stored
    assert http.delete("/v1/voices/mine").status_code == 404
