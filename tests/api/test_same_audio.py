"""All endpoints return the same samples for the same text, voice and seed."""

import asyncio
import io
from contextlib import contextmanager

import httpx
import msgpack
import pytest
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.tts import Synthesize, SynthesizeVoice

from backend.api.compat.wyoming.server import SEED
from backend.audio.files import encode_audio
from backend.audio.pcm import to_int16
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from backend.opt_engine import OptimizedEngine
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from tests.support.served import free_port, served, within
from tests.support.small_engine import open_small_voices, settings_in

TEXT = "hello there, this is a text"
PACKED = {"Content-Type": "application/msgpack"}


def pcm_of_wav(content: bytes) -> bytes:
    assert content[:4] == b"RIFF" and content[36:40] == b"data"
    return content[44:]


@contextmanager
def server(engine):
    port = free_port()
    with served(engine, wyoming_port=port) as url, httpx.Client(base_url=url, trust_env=False, timeout=120) as http:
        within(60, lambda: http.get("/ready").status_code == 200)
        yield http, port


def over_wyoming(port, text, voice):
    async def exchange():
        sound = b""
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Synthesize(text=text, voice=SynthesizeVoice(name=voice)).event())
            while not AudioStop.is_type((event := await asyncio.wait_for(client.read_event(), 60)).type):
                sound += AudioChunk.from_event(event).audio if AudioChunk.is_type(event.type) else b""
        return sound

    return asyncio.run(exchange())


def everywhere(http, port, text, voice, rate_hz):
    """The samples of one speech as 16-bit bytes, by endpoint."""

    def ask(path, **options):
        answer = http.post(path, **options)
        assert answer.status_code == 200, (path, answer.text)
        return answer.content

    tts = {"text": text, "voice": voice, "seed": SEED, "format": "pcm", "use_memory_cache": "off"}
    fish = {"text": text, "reference_id": voice, "seed": SEED, "format": "pcm", "use_memory_cache": "off"}
    eleven = {"text": text, "seed": SEED}
    openai = {"model": "tts-1", "input": text, "voice": {"id": voice}, "seed": SEED, "response_format": "wav"}
    return {
        "/tts": ask("/tts", json=tts),
        "/tts streamed": ask("/tts", json={**tts, "streaming": True}),
        "/v1/audio/speech": pcm_of_wav(ask("/v1/audio/speech", json=openai)),
        "fish": ask("/v1/tts", json=fish),
        "fish, msgpack": ask("/v1/tts", content=msgpack.packb(fish), headers=PACKED),
        "fish, streamed": pcm_of_wav(ask("/v1/tts", json={**fish, "format": "wav", "streaming": True})),
        "ElevenLabs": ask(f"/v1/text-to-speech/{voice}?output_format=pcm_{rate_hz}", json=eleven),
        "ElevenLabs, streamed": ask(f"/v1/text-to-speech/{voice}/stream?output_format=pcm_{rate_hz}", json=eleven),
        "Wyoming": over_wyoming(port, text, voice),
    }


def spoken(engine, text, voice):
    speech = engine.speak(SpeechRequest(text=text, voice=voice, seed=SEED, use_memory_cache=False))
    # One that runs away is begun again where nobody heard it yet, so that whole and streamed would differ.
    assert speech.finish_reason in ("stop", "pointer_end")
    return to_int16(speech.waveform.samples).T.astype("<i2").tobytes(), speech.waveform.rate_hz


def test_all_endpoints_return_the_same_samples(tmp_path):
    engine = OptimizedEngine(settings_in(tmp_path), open_small_voices)
    sound = encode_audio(Waveform.of(speech_like(duration_s=1.0, rate_hz=8000), 8000), "wav")
    with server(engine) as (http, port):
        form = {"name": "Ann", "text": "some words", "consent": "true"}
        voice = http.post("/voices", data=form, files={"audio": io.BytesIO(sound)}).json()
        wanted, rate_hz = spoken(engine, TEXT, voice["id"])
        assert len(wanted) > 2000
        for name in (voice["id"], "Ann"):
            heard = everywhere(http, port, TEXT, name, rate_hz)
            assert {endpoint: samples == wanted for endpoint, samples in heard.items()} == dict.fromkeys(heard, True)
        other, _ = spoken(engine, TEXT, "ada")
        assert other != wanted, "the voice makes no difference, so the test shows nothing"
        heard = everywhere(http, port, TEXT, "Ada", rate_hz)
        assert {endpoint: samples == other for endpoint, samples in heard.items()} == dict.fromkeys(heard, True)


@pytest.mark.slow
def test_all_endpoints_return_the_same_samples_of_the_built_in_voice(tmp_path):
    engine = OptimizedEngine(Settings(_env_file=None, data_dir=str(tmp_path), device="cpu"))
    with server(engine) as (http, port):
        text = "The kettle is on."
        wanted, rate_hz = spoken(engine, text, "af_heart")
        heard = everywhere(http, port, text, "af_heart", rate_hz)
        assert {endpoint: samples == wanted for endpoint, samples in heard.items()} == dict.fromkeys(heard, True)
