"""The Wyoming server with the protocol's own client and with misbehaving clients."""

import asyncio
import json
import socket
import time
from contextlib import contextmanager

import numpy as np
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from backend.api.compat.wyoming.server import listening_host
from backend.errors import BadSettings, BadText, Busy, EngineFailure
from backend.settings import Settings
from tests.support.fake_engine import RATE_HZ, FakeEngine, sound_of
from tests.support.served import asked_here, free_port, served, within

HUM = SynthesizeVoice(name="hum")


@contextmanager
def wyoming(engine=None, **changes):
    """Yields the port, and the engine behind it."""
    engine, port = engine or FakeEngine(), free_port()
    with served(engine, wyoming_port=port, **changes):
        yield port, engine


@pytest.fixture(scope="module")
def server():
    with wyoming() as found:
        yield found


def ask(port, *events, until=(AudioStop, Error)):
    """Send events; returns what comes back up to one of `until`, or the end of the connection."""

    async def exchange():
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for event in events:
                await client.write_event(event if isinstance(event, Event) else event.event())
            answers = []
            while (answer := await asyncio.wait_for(client.read_event(), 20)) is not None:
                answers.append(answer)
                if any(kind.is_type(answer.type) for kind in until):
                    break
            return answers

    return asyncio.run(exchange())


def sound_in(answers):
    chunks = [AudioChunk.from_event(answer) for answer in answers if AudioChunk.is_type(answer.type)]
    assert all((chunk.rate, chunk.width, chunk.channels) == (RATE_HZ, 2, 1) for chunk in chunks)
    return np.frombuffer(b"".join(chunk.audio for chunk in chunks), "<i2") / 32768


def test_description_lists_the_voices(server):
    (answer,) = ask(server[0], Describe(), until=(Info,))
    (program,) = Info.from_event(answer).tts
    assert program.supports_synthesize_streaming and program.installed and program.version
    assert [(voice.name, voice.description) for voice in program.voices] == [("hum", "Hum")]
    assert "en" in program.voices[0].languages


def test_text_is_synthesized(server):
    answers = ask(server[0], Synthesize(text="Hello there.", voice=HUM))
    assert AudioStart.is_type(answers[0].type) and AudioStop.is_type(answers[-1].type)
    assert len(answers) > 3, "it came in one piece"
    asked = server[1].asked[-1]
    assert (asked.text, asked.voice, asked.seed, asked.markup) == ("Hello there.", "hum", 0, "plain")
    np.testing.assert_allclose(sound_in(answers), sound_of(asked, 0)[0], atol=1e-4)


def test_ssml_is_read_as_such(server):
    ask(server[0], Synthesize(text="<speak>Hello.</speak>", text_format="ssml"))
    assert server[1].asked[-1].markup == "ssml" and server[1].asked[-1].voice is None


def test_many_texts_on_one_connection_come_in_order(server):
    n_asked = len(server[1].asked)
    first, second = Synthesize(text="One."), Synthesize(text="Two and more.")
    answers = ask(server[0], first, second, Describe(), until=(Info,))
    kinds = [answer.type for answer in answers if answer.type != "audio-chunk"]
    assert kinds == ["audio-start", "audio-stop"] * 2 + ["info"]
    assert [asked.text for asked in server[1].asked[n_asked:]] == ["One.", "Two and more."]


def test_streamed_text_is_spoken_sentence_by_sentence_and_once(server):
    n_asked = len(server[1].asked)
    pieces = ["The first sen", "tence. The sec", "ond one! And", " a rest"]
    whole = Synthesize(text="".join(pieces), voice=HUM)  # what clients send besides, for older servers
    events = [SynthesizeStart(voice=HUM), *map(SynthesizeChunk, pieces), whole, SynthesizeStop()]
    answers = ask(server[0], *events, until=(SynthesizeStopped, Error))
    assert [asked.text for asked in server[1].asked[n_asked:]] == [
        "The first sentence.",
        "The second one!",
        "And a rest",
    ]
    kinds = [answer.type for answer in answers if answer.type != "audio-chunk"]
    assert kinds == ["audio-start", "audio-stop", "synthesize-stopped"]
    wanted = np.concatenate([sound_of(asked, 0)[0] for asked in server[1].asked[n_asked:]])
    np.testing.assert_allclose(sound_in(answers), wanted, atol=1e-4)


def test_unreadable_sentence_does_not_affect_the_others(server):
    server[1].refusals["你好。"] = BadText("Not spoken: 2 characters of Han.")
    n_asked = len(server[1].asked)
    events = [SynthesizeStart(voice=HUM), SynthesizeChunk("One. 你好。 Two."), SynthesizeStop()]
    answers = ask(server[0], *events, until=(SynthesizeStopped, Error))
    assert answers[-1].type == "synthesize-stopped"
    wanted = [sound_of(asked, 0)[0] for asked in server[1].asked[n_asked:] if asked.text != "你好。"]
    np.testing.assert_allclose(sound_in(answers), np.concatenate(wanted), atol=1e-4)


def test_first_sentence_is_spoken_before_the_text_ends(server):
    async def exchange():
        async with AsyncTcpClient("127.0.0.1", server[0]) as client:
            await client.write_event(SynthesizeStart().event())
            await client.write_event(SynthesizeChunk("The first sentence. And then").event())
            return (await asyncio.wait_for(client.read_event(), 20)).type

    assert asyncio.run(exchange()) == "audio-start"


def test_empty_text_stream_ends_without_audio(server):
    answers = ask(server[0], SynthesizeStart(), SynthesizeStop(), until=(SynthesizeStopped, Error))
    assert [answer.type for answer in answers] == ["synthesize-stopped"]


@pytest.mark.parametrize(
    ("event", "finding"),
    [
        (Synthesize(text="Hello.", voice=SynthesizeVoice(name="nobody")), "nobody"),
        (Synthesize(text=" "), "empty"),
        (Synthesize(text="Hello.", text_format="html"), "html"),
        (Event("synthesize", {"text": 5}), "needs a text"),
        (Event("synthesize", {"text": "x", "voice": {"name": 5}}), "voice"),
        (Event("synthesize", {"text": "x", "text_format": []}), "text_format"),
        (SynthesizeStart(text_format="ssml"), "SSML cannot be streamed"),
    ],
)
def test_error_is_reported_and_closes_the_connection(server, event, finding):
    answers = ask(server[0], event, Describe(), until=())
    assert [answer.type for answer in answers] == ["error"]
    assert finding in Error.from_event(answers[0]).text


def test_failure_during_audio_is_not_a_normal_end():
    engine = FakeEngine()
    engine.fail_after_samples, engine.failure = 800, EngineFailure("The codec failed.")
    with wyoming(engine) as (port, _):
        kinds = [answer.type for answer in ask(port, Synthesize(text="Hello there."), until=())]
    assert kinds == ["audio-start", "audio-chunk", "error"]


def test_busy_engine_returns_an_error_event():
    engine = FakeEngine()
    engine.refusal = Busy("The queue is full.", 1.0)
    with wyoming(engine) as (port, _):
        (answer,) = ask(port, Synthesize(text="Hello."), until=())
    assert Error.from_event(answer).code == "429"


def test_disconnect_cancels_the_speech():
    engine = FakeEngine()
    engine.pause_after_samples = 800
    with wyoming(engine) as (port, _):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b'{"type": "synthesize", "data": {"text": "Hello there."}}\n')
            assert engine.paused.wait(10)
        within(10, lambda: engine.n_cancelled > 0)


@pytest.mark.parametrize(
    ("sent", "finding"),
    [
        (b"GET / HTTP/1.1\r\n", "other than an event"),
        (b"[]\n", "other than an event"),
        (b"[" * 60_000 + b"\n", "other than an event"),
        (b'{"type": 5}\n', "needs a type"),
        (b'{"type": "describe", "data": [1]}\n', "needs a type"),
        (b'{"type": "describe", "data_length": -1}\n', "number of bytes"),
        (b'{"type": "describe", "data_length": "9"}\n', "number of bytes"),
        (b'{"type": "describe", "data_length": 999999999999}\n', "the limit is"),
        (b'{"type": "describe", "payload_length": 999999999999}\n', "the limit is"),
        (b'{"type": "describe", "data_length": 2}\n[]', "other than an event"),
        (b"x" * 70_000, "exceeds"),
    ],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_invalid_event_is_rejected(server, sent, finding):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as client:
        client.sendall(sent)
        answer = client.makefile("rb").read()
    header, _, data = answer.partition(b"\n")
    assert json.loads(header)["type"] == "error" and finding in json.loads(data)["text"]
    assert ask(server[0], Describe(), until=(Info,)), "the server goes on"


def test_error_reaches_a_client_that_keeps_sending(server):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as client:
        for _ in range(40):
            client.sendall(b"[]\n" + b"x" * 50_000)
        assert b"other than an event" in client.makefile("rb").read()


def test_endless_client_input_is_cut_off(monkeypatch):
    monkeypatch.setattr("backend.api.compat.wyoming.server.LINGER_S", 0.1)
    with wyoming() as (port, _), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"[]\n")
        until_s = time.monotonic() + 10
        with pytest.raises(ConnectionError):
            while time.monotonic() < until_s:
                client.sendall(b"x" * 1000)
                time.sleep(0.01)


def test_endless_event_times_out():
    with (
        wyoming(client_timeout_s=0.2) as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=10) as client,
    ):
        client.sendall(b'{"type": "describe", "data_length": 9}\n{')
        assert b"did not arrive" in client.makefile("rb").read()


def test_streamed_text_has_the_text_limit():
    with wyoming(max_text_chars=20) as (port, _):
        answers = ask(port, SynthesizeStart(), *[SynthesizeChunk("word " * 3)] * 2, until=(Error,))
    assert "MAX_TEXT_CHARS" in Error.from_event(answers[-1]).text


def test_events_of_other_domains_are_ignored(server):
    answers = ask(server[0], Event("transcribe"), Event("synthesize-stop"), Describe(), until=(Info,))
    assert [answer.type for answer in answers] == ["info"]


def test_wyoming_is_off_by_default_and_stops_with_the_server():
    with wyoming() as (port, _):
        open_one = socket.create_connection(("127.0.0.1", port))
    with open_one:
        assert open_one.recv(1) == b"", "the connection outlived the server"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert Settings(_env_file=None).wyoming_port == 0


def test_used_port_error_names_the_setting():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadSettings, match="WYOMING_PORT"), asked_here(wyoming_port=taken.getsockname()[1]):
            pass


@pytest.mark.parametrize(
    ("host", "api_key", "expected"),
    [("127.0.0.1", "", "127.0.0.1"), ("0.0.0.0", "", "0.0.0.0"), ("0.0.0.0", "secret", "127.0.0.1"), ("localhost", "secret", "localhost")],
)  # fmt: skip
def test_wyoming_with_a_key_listens_on_loopback_only(host, api_key, expected):
    assert listening_host(Settings(_env_file=None, host=host, api_key=api_key)) == expected
