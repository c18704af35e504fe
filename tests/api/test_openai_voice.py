"""`/v1/audio/speech` with the built-in voice returns the same speech as `POST /tts`."""

import json
from base64 import b64decode

import httpx
import numpy as np
import openai
import pytest

from backend.api.compat.openai_voices import OPENAI_VOICES
from backend.opt_engine import OptimizedEngine
from tests.support.audio_decoding import decoded
from tests.support.served import openai_client, served
from tests.support.small_engine import settings_in

pytestmark = pytest.mark.slow

TEXT = "The kettle is on. The tea is nearly ready."


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    settings = settings_in(tmp_path_factory.mktemp("data"), max_batch=2)
    engine = OptimizedEngine(settings.model_copy(update={"model_dir": "phonogram-mini"}))
    engine.load()
    with served(engine) as url:
        yield url


def test_the_same_text_voice_and_seed_give_the_same_samples(url):
    with openai_client(url) as client, httpx.Client(trust_env=False, timeout=600) as http:
        speech = client.audio.speech.create(
            model="tts-1", voice="nova", input=TEXT, response_format="pcm", extra_body={"seed": 5}
        )
        ask = {"text": TEXT, "voice": OPENAI_VOICES["nova"], "seed": 5, "format": "pcm"}
        for streaming in (False, True):
            native = http.post(f"{url}/tts", json={**ask, "streaming": streaming})
            assert native.headers["x-sample-rate"] == "24000"
            assert native.content == speech.content
    assert len(speech.content) > 2 * 24_000 and np.abs(np.frombuffer(speech.content, "<i2")).max() > 1000


def test_every_format_holds_the_same_speech(url):
    with openai_client(url) as client:
        ask = {"model": "phonogram", "voice": {"id": "af_heart"}, "input": TEXT, "extra_body": {"seed": 5}}
        n_samples = len(client.audio.speech.create(**ask, response_format="pcm").content) // 2
        for format in ("mp3", "opus", "aac", "flac", "wav"):
            samples, rate_hz = decoded(client.audio.speech.create(**ask, response_format=format).content, format)
            assert 0 <= samples.shape[1] / rate_hz - n_samples / 24_000 < 0.13, format
        events = client.audio.speech.create(**ask, response_format="pcm", stream_format="sse").text
    *deltas, done = [json.loads(line[6:]) for line in events.splitlines() if line]
    assert sum(len(b64decode(delta["audio"])) for delta in deltas) == 2 * n_samples
    assert done["usage"]["output_tokens"] > 10 and done["usage"]["input_tokens"] == len(TEXT)


def test_openai_names_map_to_built_in_voices(url):
    with httpx.Client(trust_env=False) as http:
        there = {voice["id"] for voice in http.get(f"{url}/voices").json()["voices"]}
    assert set(OPENAI_VOICES.values()) <= there and len(set(OPENAI_VOICES.values())) == 13
    with openai_client(url) as client, pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(model="tts-1", voice="nobody", input="Hello.")
    assert caught.value.param == "voice"
