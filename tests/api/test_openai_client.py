"""`/v1` with OpenAI's unmodified client."""

import base64
import io
import json
import time
import wave

import numpy as np
import openai
import pytest
import soundfile

from backend.api.compat.openai_schemas import EXTENSIONS
from backend.api.compat.openai_voices import OPENAI_VOICES
from backend.audio.pcm import to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadText, Busy, EngineFailure, TimedOut
from backend.runtime.request import SpeechRequest
from tests.support.audio_decoding import MP3_PRIMING, decoded
from tests.support.fake_engine import RATE_HZ, WAIT_LIMIT_S, FakeEngine, Voice, sound_of
from tests.support.served import openai_client, served

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
KINDS = {
    "mp3": "audio/mpeg", "opus": "audio/ogg; codecs=opus", "aac": "audio/aac", "flac": "audio/flac",
    "wav": "audio/wav", "pcm": "audio/pcm",
}  # fmt: skip
TEXTS = {n: " ".join(f"Sentence {number} of {n}." for number in range(1, n + 1)) for n in (1, 2, 30)}
ASK = {"model": "tts-1", "voice": "alloy", "input": "Hello, world. This is a speech."}


@pytest.fixture(scope="module")
def shared():
    engine = FakeEngine()
    with served(engine) as url, openai_client(url, max_retries=0) as client:
        yield engine, client


@pytest.fixture
def engine(shared):
    engine = shared[0]
    engine.refusal = None
    engine.fail_after_samples = engine.pause_after_samples = 2**62
    engine.paused.clear()
    engine.go_on.clear()
    engine.stored = {"hum": Voice("hum", "Hum")}
    return engine


@pytest.fixture
def client(shared, engine):
    return shared[1]


def pcm_24k(text, seed=1):
    """What the fake engine says, as the contract wants it."""
    spoken = Waveform(sound_of(SpeechRequest(text=text), seed), RATE_HZ)
    return to_int16(resample(spoken, 24_000).samples)[0]


def whole_of(client, **body):
    """The same speech from `POST /tts`, in one piece."""
    url = str(client.base_url).removesuffix("/v1/")
    return client._client.post(f"{url}/tts", json=body).content


# What is spoken


@pytest.mark.parametrize("n_sentences", TEXTS)
@pytest.mark.parametrize("format", FORMATS)
def test_streamed_audio_equals_the_whole_to_the_last_sample(client, format, n_sentences):
    text = TEXTS[n_sentences]
    answer = client.audio.speech.with_raw_response.create(**{**ASK, "input": text}, response_format=format)
    assert answer.headers["content-type"] == KINDS[format]
    # This client reads the whole body, so formats with a length in their header are sent as whole files.
    is_whole = format in ("wav", "flac")
    assert ("content-length" in answer.headers) == is_whole
    assert is_whole or answer.headers["transfer-encoding"] == "chunked"
    content = answer.content
    whole = whole_of(client, text=text, format=format)
    if format == "pcm":
        # The codec's rate is another, so the samples are compared as they are resampled: 16 bits were rounded twice.
        expected = pcm_24k(text).astype(int)
        got = np.frombuffer(content, "<i2").astype(int)
        assert len(got) == len(expected) == 3 * len(whole) // 2 and np.abs(got - expected).max() <= 2
        return
    spoken, rate_hz = decoded(content, format)
    expected, expected_hz = decoded(whole, format)
    assert rate_hz == expected_hz
    if format in ("wav", "flac"):
        assert np.array_equal(to_int16(spoken), to_int16(sound_of(SpeechRequest(text=text), 1)))
    if format == "mp3":
        # Nobody knew the length when it began, so the encoder's delay is still in it.
        spoken = spoken[:, MP3_PRIMING:][:, : expected.shape[1]]
    assert spoken.shape == expected.shape and np.abs(spoken - expected).max() < 1e-4
    n_samples = sound_of(SpeechRequest(text=text), 1).shape[1] * rate_hz // RATE_HZ
    assert n_samples <= spoken.shape[1] <= n_samples + (2048 if format == "aac" else 0)


def test_mp3_is_the_default(client):
    answer = client.audio.speech.with_raw_response.create(**ASK)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content == client.audio.speech.create(**ASK, response_format="mp3").content


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_first_audio_arrives_before_the_last_is_generated(client, engine, format, stream_format):
    engine.pause_after_samples = 8 * 800
    body = {**ASK, "input": TEXTS[30], "response_format": format, "stream_format": stream_format}
    with client.audio.speech.with_streaming_response.create(**body) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        assert first and not engine.go_on.is_set()
        engine.go_on.set()
        rest = b"".join(pieces)
    assert len(rest) > len(first)


@pytest.mark.parametrize("format", FORMATS)
def test_sse_events_carry_the_file_and_end_with_usage(client, format):
    plain = client.audio.speech.create(**ASK, response_format=format, extra_body={"stream": True}).content
    answer = client.audio.speech.with_raw_response.create(**ASK, response_format=format, stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.content.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    *deltas, done = [json.loads(block.removeprefix("data: ")) for block in blocks]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"} and len(deltas) > 1
    assert b"".join(base64.b64decode(delta["audio"], validate=True) for delta in deltas) == plain
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage == {
        "input_tokens": len(ASK["input"]), "output_tokens": 25, "total_tokens": len(ASK["input"]) + 25,
    }  # fmt: skip


# Who speaks


def test_voice_is_a_name_or_an_object_with_an_id(client, engine):
    for voice in ("hum", {"id": "hum"}, "Hum"):
        engine.stored["Hum"] = engine.stored["hum"]
        client.audio.speech.create(**{**ASK, "voice": voice})
        assert engine.asked[-1].voice in ("hum", "Hum")


@pytest.mark.parametrize("name", OPENAI_VOICES)
def test_openai_voice_names_map_to_distinct_voices(client, engine, name):
    house = OPENAI_VOICES[name]
    engine.stored[house] = Voice(house, house)
    answer = client.audio.speech.with_raw_response.create(**{**ASK, "voice": name.upper()})
    assert engine.asked[-1].voice == house and answer.headers["x-voice"] == house
    assert "x-voice-note" not in answer.headers


def test_missing_mapped_voice_falls_back_to_the_default_with_a_note(client, engine):
    answer = client.audio.speech.with_raw_response.create(**{**ASK, "voice": "cedar"})
    assert engine.asked[-1].voice is None
    assert "'cedar'" in answer.headers["x-voice-note"] and "x-voice" not in answer.headers


def test_added_voice_with_an_openai_name_takes_precedence(client, engine):
    engine.stored["nova"] = Voice("nova", "Nova")
    client.audio.speech.create(**{**ASK, "voice": "nova"})
    assert engine.asked[-1].voice == "nova"


# Parameters


def test_extensions_reach_the_engine_through_extra_body(client, engine):
    more = {
        "seed": 9, "temperature": 0.4, "top_p": 0.5, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2,
        "max_new_tokens": 90, "chunk_length": 99, "normalize": False, "markup": "ssml", "latency": "low",
        "loudness_lufs": -20.0, "pitch": 2.0, "use_memory_cache": "off",
    }  # fmt: skip
    others = set(EXTENSIONS) - set(more)
    assert others <= {"timeout_s"}, "a field of POST /tts has no trial here"
    more |= dict.fromkeys(others, 30.0)
    client.audio.speech.create(**ASK, speed=1.5, extra_body=more)
    asked = engine.asked[-1]
    more["use_memory_cache"] = False
    assert {name: getattr(asked, name) for name in more} == more
    assert asked.speed == 1.5 and asked.text == ASK["input"] and not asked.whole


def test_ignored_instructions_are_reported(client, engine):
    engine.ignored = ("top_k",)
    answer = client.audio.speech.with_raw_response.create(**ASK, instructions="Whisper.")
    assert answer.headers["x-ignored-params"] == "top_k, instructions"
    engine.ignored = ()
    assert "x-ignored-params" not in client.audio.speech.with_raw_response.create(**ASK).headers


REFUSED = {
    "input": ("x" * 4097, "string_above_max_length"), "voice": ("nobody", "invalid_value"),
    "response_format": ("ogg", "invalid_value"), "speed": (4.1, "invalid_value"),
    "stream_format": ("websocket", "invalid_value"), "instructions": ("x" * 4097, "string_above_max_length"),
}  # fmt: skip


@pytest.mark.parametrize("param", REFUSED)
def test_a_bad_value_is_a_400_that_names_its_parameter(client, engine, param):
    value, code = REFUSED[param]
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(**{**ASK, param: value})
    error = caught.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.request_id and param.split("_")[0] in error.body["message"]


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"stream": "perhaps"}, "stream", "invalid_value"),
        ({"sample_rate": 12_345}, "sample_rate", "invalid_value"),
        ({"mood": 1}, "mood", "unknown_parameter"),
        ({"text": "x"}, "text", "unknown_parameter"),
        ({"references": []}, "references", "unknown_parameter"),
        ({"temperature": 9}, "temperature", "invalid_value"),
        ({"input": ""}, "input", "empty_string"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"speed": 0.24}, "speed", "invalid_value"),
        ({"voice": {"name": "hum"}}, "voice", "invalid_value"),
        ({"voice": {"id": "hum", "more": 1}}, "voice", "invalid_value"),
    ],
)
def test_replaced_field_in_extra_body_is_a_400(client, more, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(**ASK, extra_body=more)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_missing_input_is_named(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/audio/speech", cast_to=object, body={"model": "tts-1", "voice": "alloy"})
    assert (caught.value.param, caught.value.code) == ("input", "missing_required_parameter")


@pytest.mark.parametrize("value", ["left out", None, ""])
def test_missing_voice_and_model_use_the_defaults(client, engine, value):
    body = {"input": "Hello.", "model": value, "voice": value}
    if value == "left out":
        body = {"input": "Hello."}
    answer = client._client.post(f"{client.base_url}audio/speech", json=body)
    assert answer.status_code == 200 and engine.asked[-1].voice is None
    assert answer.headers["x-model"] == "hum"


@pytest.mark.parametrize("name", ["kokoro", "TTS-1", "tts-1-1106", "gpt-4o-mini-tts-2025-03-20"])
def test_any_model_name_speaks_with_the_loaded_checkpoint(client, name):
    answer = client.audio.speech.with_raw_response.create(**{**ASK, "model": name})
    assert answer.headers["x-model"] == "hum" and answer.content


def test_foreign_fields_are_honored_or_reported(client):
    more = {"stream": False, "sample_rate": 16_000, "lang_code": "a", "user": "me", "backend": "x", "language": None}
    answer = client.audio.speech.with_raw_response.create(**ASK, response_format="wav", extra_body=more)
    assert answer.headers["x-ignored-params"] == "backend, lang_code, user"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getframerate() == 16_000
        assert file.getnframes() == 2 * sound_of(SpeechRequest(text=ASK["input"]), 1).shape[1]


@pytest.mark.parametrize("how", [{"extra_body": {"stream": False}}, {"extra_headers": {"X-Whole-File": "true"}}, {}])
@pytest.mark.parametrize("format", ["wav", "flac"])
def test_a_saved_file_states_its_length(client, format, how):
    content = client.audio.speech.create(**{**ASK, "input": TEXTS[30]}, response_format=format, **how).content
    n_samples = sound_of(SpeechRequest(text=TEXTS[30]), 1).shape[1]
    assert soundfile.info(io.BytesIO(content)).frames == len(soundfile.read(io.BytesIO(content))[0]) == n_samples
    if format == "wav":
        with wave.open(io.BytesIO(content)) as file:
            assert file.getnframes() == n_samples


def test_a_short_flac_states_its_length_for_every_client(client):
    answer = client._client.post(f"{client.base_url}audio/speech", json={"input": "Hello.", "response_format": "flac"})
    assert soundfile.info(io.BytesIO(answer.content)).frames == sound_of(SpeechRequest(text="Hello."), 1).shape[1]


def test_added_voices_can_be_deleted(client, engine):
    engine.stored["mine"] = Voice("mine", "Mine")
    names = client.get("/audio/speech/voices", cast_to=object)["voices"]
    assert {"id": "mine", "name": "Mine"} in names
    deleted = client.delete("/audio/voices/mine", cast_to=object)
    assert deleted == {"id": "mine", "object": "audio.voice.deleted", "deleted": True} and "mine" not in engine.stored
    with pytest.raises(openai.NotFoundError):
        client.delete("/audio/voices/mine", cast_to=object)


def test_bounds_include_their_limits(client):
    for speed in (0.25, 4.0):
        client.audio.speech.create(**ASK, speed=speed)
    client.audio.speech.create(**{**ASK, "input": "x" * 4096}, response_format="pcm")


# Refusals


def test_other_errors_have_openai_format_and_their_code(client, engine):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="tts-1", messages=[])
    assert (caught.value.code, caught.value.type) == ("not_found", "invalid_request_error")
    engine.refusal = BadText("The markup does not close. Close it.")
    with pytest.raises(openai.BadRequestError, match="does not close") as caught:
        client.audio.speech.create(**ASK)
    assert caught.value.code == "bad_text"
    engine.refusal = TimedOut("The speech took too long. Shorten the text.")
    with pytest.raises(openai.InternalServerError) as caught:
        client.audio.speech.create(**ASK)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (504, "server_error", "timed_out")


def test_missing_key_error_has_openai_format():
    with served(FakeEngine(), api_key="s3cret") as url:
        for key, is_right in (("wrong", False), ("s3cret", True)):
            with openai_client(url).with_options(api_key=key) as client:
                if is_right:
                    assert client.audio.speech.create(**ASK).content
                    continue
                with pytest.raises(openai.AuthenticationError) as caught:
                    client.audio.speech.create(**ASK)
                assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")


def test_retry_after_the_given_delay_succeeds(client, engine):
    engine.refusal = Busy("Full.", retry_after_s=0.05)
    with pytest.raises(openai.RateLimitError) as caught:
        client.audio.speech.create(**ASK)
    headers = caught.value.response.headers
    assert headers["retry-after-ms"] == "50" and headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    n_before = len(engine.asked)
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=2).audio.speech.create(**ASK)
    assert len(engine.asked) == n_before + 3


def test_permanent_failure_is_not_retried(client, engine):
    n_before = len(engine.asked)
    for refusal in (EngineFailure("The lm thread failed."), TimedOut("Too long.")):
        engine.refusal = refusal
        with pytest.raises(openai.InternalServerError):
            client.with_options(max_retries=2).audio.speech.create(**ASK)
    assert len(engine.asked) == n_before + 2


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
@pytest.mark.parametrize("format", ["pcm", "mp3"])
def test_failure_during_streaming_never_looks_like_a_complete_file(client, engine, format, stream_format):
    engine.fail_after_samples, engine.failure = 16_000, EngineFailure("The lm thread failed.")
    with pytest.raises(openai.APIConnectionError):
        client.audio.speech.create(**{**ASK, "input": TEXTS[30]}, response_format=format, stream_format=stream_format)


def test_disconnect_cancels_the_engine_stream(client, engine):
    engine.pause_after_samples = 4000
    n_cancelled = engine.n_cancelled
    body = {**ASK, "input": TEXTS[30], "response_format": "pcm", "stream_format": "sse"}
    with client.audio.speech.with_streaming_response.create(**body) as answer:
        next(answer.iter_bytes())
    until_s = time.perf_counter() + WAIT_LIMIT_S / 4
    while engine.n_cancelled == n_cancelled and time.perf_counter() < until_s:
        time.sleep(0.01)
    assert engine.n_cancelled > n_cancelled


# Models


def test_models_are_listed_and_found(client):
    listed = client.models.list()
    ids = [model.id for model in listed]
    assert ids[0] == "hum" and {"tts-1", "tts-1-hd", "gpt-4o-mini-tts", "phonogram"} <= set(ids)
    for model in listed:
        found = client.models.retrieve(model.id)
        assert (found.id, found.object, found.owned_by) == (model.id, "model", "phonogram")
        assert abs(found.created - time.time()) < 3600
        client.audio.speech.create(**{**ASK, "model": model.id})
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"
    pages = client.get("/audio/models", cast_to=object)
    assert [model["id"] for model in pages["models"]] == ids
