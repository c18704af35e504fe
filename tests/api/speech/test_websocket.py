"""Text in and speech out over one WebSocket."""

import base64
import json
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from backend.api.speech.websocket import SpeechSocket
from backend.audio.pcm import to_int16
from backend.errors import BadText, Busy, EngineFailure
from backend.runtime.request import SpeechRequest
from tests.api.test_wire import within
from tests.support.fake_engine import PIECE_SAMPLES, RATE_HZ, FakeEngine, sound_of
from tests.support.served import asked_here

PATH = "/v1/audio/speech/stream"


class Talk:
    """A client's end: sends dicts, collects what comes."""

    def __init__(self, socket):
        self._socket = socket
        self.sound, self.told = b"", []

    def say(self, **message):
        self._socket.send_text(json.dumps(message))

    def next(self):
        message = self._socket.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"])
        if message.get("bytes"):
            self.sound += message["bytes"]
            return "sound"
        body = json.loads(message["text"])
        if body["type"] == "audio":
            self.sound += base64.b64decode(body["audio"])
        self.told.append(body)
        return body["type"]

    def until(self, kind):
        while self.next() != kind:
            pass
        return self.told[-1]

    def of(self, kind):
        return [body for body in self.told if body["type"] == kind]


@contextmanager
def talking(engine=None, **settings):
    with asked_here(engine, **settings) as http, http.websocket_connect(PATH) as socket:
        yield Talk(socket), http.engine, http


def pcm_of(*texts):
    sounds = [to_int16(sound_of(SpeechRequest(text=text), 1)).T for text in texts]
    return np.concatenate(sounds).astype("<i2").tobytes()


def test_each_sentence_is_spoken_in_order_and_the_sound_is_theirs():
    with talking() as (talk, engine, _):
        for piece in ("Hello the", "re. How are", " you? Fine"):
            talk.say(type="text", text=piece)
        talk.say(type="end")
        done = talk.until("done")
        with pytest.raises(WebSocketDisconnect) as closed:
            talk.next()
    texts = ["Hello there.", "How are you?", "Fine"]
    assert [request.text for request in engine.asked] == texts == [body["text"] for body in talk.of("sentence")]
    assert talk.sound == pcm_of(*texts) and closed.value.code == 1000
    assert done["audio_s"] == pytest.approx(len(talk.sound) / 2 / RATE_HZ, abs=1e-3)
    assert talk.of("audio_start") == [{"type": "audio_start", "format": "pcm", "sample_rate": RATE_HZ, "channels": 1}]


def test_the_first_sound_comes_before_the_last_text():
    with talking() as (talk, _, _):
        talk.say(type="text", text="First sentence. Second")
        while talk.next() != "sound":
            pass
        assert talk.sound and talk.of("sentence")[0]["text"] == "First sentence."
        talk.say(type="text", text=" one.")
        talk.say(type="end")
        talk.until("done")
    assert talk.sound == pcm_of("First sentence.", "Second one.")


def test_flush_speaks_an_unfinished_sentence_and_the_socket_goes_on():
    with talking() as (talk, _, _):
        talk.say(type="text", text="And then")
        talk.say(type="flush")
        talk.until("flushed")
        assert talk.sound == pcm_of("And then")
        talk.say(type="text", text="More")
        talk.say(type="end")
        talk.until("done")
    assert talk.sound == pcm_of("And then", "More")


def test_cancel_stops_the_sound_and_new_text_is_spoken_on_the_same_socket():
    engine = FakeEngine()
    engine.pause_after_samples = 2 * PIECE_SAMPLES
    with talking(engine) as (talk, _, http):
        talk.say(type="start", pace=0)
        talk.say(type="text", text="A long story that nobody wants to hear. And one more sentence. ")
        talk.say(type="flush")
        assert engine.paused.wait(5)
        talk.say(type="cancel")
        talk.until("cancelled")
        n_old = len(talk.sound)
        assert n_old <= 2 * 2 * PIECE_SAMPLES
        within(1.0, lambda: http.app.state.host.n_speeches == 0)
        engine.pause_after_samples = 2**62
        talk.say(type="text", text="New words.")
        talk.say(type="end")
        done = talk.until("done")
        counted = http.get("/metrics?format=json").json()["phonogram_speeches_total"]
    outcomes = {body["outcome"]: body["value"] for body in counted}
    assert talk.sound[n_old:] == pcm_of("New words.")
    assert not talk.of("flushed"), "what was to come after the old text was told after its end"
    assert done["audio_s"] == pytest.approx(len(pcm_of("New words.")) / 2 / RATE_HZ, abs=1e-3)
    assert outcomes["done"] == 1 and outcomes["cancelled"] >= 1


@pytest.mark.parametrize("moment", ["audio_start", "sound"])
def test_a_cancellation_while_something_is_sent_leaves_nothing_behind(monkeypatch, moment):
    tell, send = SpeechSocket._tell, WebSocket.send_bytes
    sockets, cancelled = [], threading.Event()

    async def cancel_in_between():
        # As if the client's word came just now.
        if not cancelled.is_set():
            sockets[0]._drop_all()
            cancelled.set()

    async def tell_and_cancel(self, body, family=None):
        sockets.append(self)
        await tell(self, body, family)
        if body["type"] == moment:
            await cancel_in_between()

    async def send_and_cancel(self, content):
        await send(self, content)
        if moment == "sound":
            await cancel_in_between()

    monkeypatch.setattr(SpeechSocket, "_tell", tell_and_cancel)
    monkeypatch.setattr(WebSocket, "send_bytes", send_and_cancel)
    with talking() as (talk, _, _):
        talk.say(type="start", pace=0)
        talk.say(type="text", text="Not wanted any more. ")
        talk.say(type="flush")
        assert cancelled.wait(5)
        talk.say(type="text", text="New words.")
        talk.say(type="end")
        done = talk.until("done")
    assert talk.sound.endswith(pcm_of("New words."))
    assert done["audio_s"] == pytest.approx(len(pcm_of("New words.")) / 2 / RATE_HZ, abs=1e-3)


def test_cancelling_while_a_sentence_waits_for_its_place_starts_nothing():
    engine = FakeEngine()
    engine.pause_after_samples = 0
    with talking(engine) as (talk, _, http):
        talk.say(type="text", text="Never heard. ")
        talk.say(type="flush")
        assert engine.paused.wait(5)
        talk.say(type="cancel")
        assert talk.until("cancelled") and talk.sound == b"" and engine.n_pieces == 0
        within(1.0, lambda: http.app.state.host.n_speeches == 0)


def test_a_client_that_leaves_stops_the_engine():
    engine = FakeEngine()
    engine.pause_after_samples = PIECE_SAMPLES
    with asked_here(engine) as http:
        with http.websocket_connect(PATH) as socket:
            Talk(socket).say(type="text", text="Nobody hears the rest of this. And this. ")
            assert engine.paused.wait(5)
        within(2.0, lambda: http.app.state.host.n_speeches == 0 and http.app.state.host.n_sockets == 0)
    assert engine.n_cancelled >= 1


def test_no_more_than_the_next_sentence_is_made_ahead():
    engine = FakeEngine()
    engine.pause_after_samples = PIECE_SAMPLES
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One is here. Two is here. Three is here. Four is here. ")
        assert engine.paused.wait(5)
        within(2.0, lambda: len(engine.asked) == 2)
        time.sleep(0.05)
        assert len(engine.asked) == 2
        engine.go_on.set()
        talk.say(type="end")
        talk.until("done")
    assert len(engine.asked) == 4


def test_sound_is_sent_no_further_ahead_than_the_pace():
    with talking() as (talk, _, _):
        talk.say(type="start", pace=0.3)
        talk.say(type="text", text="x" * 50)
        talk.say(type="end")
        began_s = time.monotonic()
        talk.until("done")
        took_s = time.monotonic() - began_s
    # One second of sound, of which the last but 0.3 s had to be waited for.
    assert len(talk.sound) == 2 * RATE_HZ and took_s >= 0.5


def test_timings_count_from_the_first_sound_of_the_socket():
    with talking() as (talk, _, _):
        talk.say(type="start", timings=True, pace=0)
        talk.say(type="text", text="Hello there. All good.")
        talk.say(type="end")
        talk.until("done")
    first, second = talk.of("timings")
    assert [word["text"] for word in first["sentences"][0]["words"]] == ["Hello", "there."]
    begin_s = len("Hello there.") * 160 / RATE_HZ
    assert second["sentences"][0]["start_s"] == pytest.approx(begin_s, abs=2e-3)
    assert second["sentences"][0]["words"][0]["start_s"] == pytest.approx(begin_s, abs=2e-3)


@pytest.mark.parametrize(("format", "magic"), [("wav", b"RIFF"), ("flac", b"fLaC"), ("mp3", b"")])
def test_containers_hold_all_sentences_in_one_file_also_as_json(format, magic):
    sounds = []
    for audio in ("binary", "json"):
        with talking() as (talk, _, _):
            talk.say(type="start", format=format, audio=audio, pace=0)
            talk.say(type="text", text="One sentence. And another one.")
            talk.say(type="end")
            talk.until("done")
            sounds.append(talk.sound)
    assert sounds[0] == sounds[1] and sounds[0].startswith(magic)
    if format == "wav":
        assert sounds[0][44:] == pcm_of("One sentence.", "And another one.")


def test_options_reach_every_sentence_and_seeds_differ():
    with talking() as (talk, engine, _):
        talk.say(type="start", voice="hum", seed=5, speed=1.5, temperature=0.3)
        talk.say(type="text", text="One. Two.")
        talk.say(type="end")
        talk.until("done")
    one, two = engine.asked
    assert (one.voice, one.seed, one.speed, one.temperature) == ("hum", 5, 1.5, 0.3) and not one.whole
    assert two.seed not in (None, 5) and two.voice == "hum"


def test_a_sentence_that_fails_is_told_and_the_socket_goes_on():
    engine = FakeEngine()
    engine.refusal = Busy("9 requests wait already.", retry_after_s=2.5)
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One. Two. Three. ")
        talk.say(type="flush")
        error = talk.until("error")
        assert (error["error"], error["sentence"], error["retry_after_ms"]) == ("Busy", 0, 2500)
        engine.refusal = None
        talk.say(type="text", text="Again.")
        talk.say(type="end")
        talk.until("done")
    assert [request.text for request in engine.asked] == ["One.", "Again."] and talk.sound == pcm_of("Again.")


def test_a_sentence_nobody_can_read_leaves_the_others():
    engine = FakeEngine()
    engine.refusals["你好。"] = BadText("Not spoken: 2 characters of Han.")
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One. 你好。 Two.")
        talk.say(type="end")
        error = talk.until("error")
        assert (error["error"], error["sentence"]) == ("BadText", 1)
        talk.until("done")
    assert talk.sound == pcm_of("One.", "Two.")


def test_a_failure_after_the_end_still_closes_the_socket():
    engine = FakeEngine()
    engine.refusal = EngineFailure("The lm thread failed.")
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One. Two.")
        talk.say(type="end")
        assert talk.until("error")["sentence"] == 0
        talk.until("done")


def test_a_failure_midway_is_told():
    engine = FakeEngine()
    engine.fail_after_samples, engine.failure = 800, EngineFailure("The lm thread failed.")
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="A sentence of some length.")
        talk.say(type="end")
        assert talk.until("error")["error"] == "EngineFailure"


@pytest.mark.parametrize(
    "message",
    ["no json", "[1]", '{"type": "sing"}', '{"type": "text"}', '{"type": "text", "text": 5}', '{"text": "x"}',
     '{"type": "start", "colour": 1}', '{"type": "start", "format": "ogg"}', '{"type": "start", "speed": 99}',
     '{"type": ["text"]}', "[" * 50_000, '{"type": "text", "text": "' + "x" * 70_000 + '"}'],
)  # fmt: skip
def test_a_message_that_is_none_is_told_and_closes(message):
    with asked_here() as http, http.websocket_connect(PATH) as socket:
        socket.send_text(message)
        talk = Talk(socket)
        assert talk.until("error")["error"] == "BadRequest"
        with pytest.raises(WebSocketDisconnect) as closed:
            talk.next()
        assert closed.value.code == 1003 and http.engine.asked == []


def test_too_much_text_is_refused_and_the_socket_goes_on():
    with talking(max_text_chars=50) as (talk, engine, _):
        talk.say(type="text", text="x" * 51)
        assert talk.until("error")["error"] == "LimitExceeded"
        talk.say(type="text", text="Short.")
        talk.say(type="end")
        talk.until("done")
    assert [request.text for request in engine.asked] == ["Short."]


def test_an_idle_socket_is_closed_and_a_busy_one_is_not():
    engine = FakeEngine()
    engine.pause_after_samples = PIECE_SAMPLES
    with talking(engine, socket_idle_s=0.2) as (talk, _, _):
        talk.say(type="text", text="This takes a while. ")
        talk.say(type="flush")
        assert engine.paused.wait(5)
        threading.Timer(0.5, engine.go_on.set).start()
        talk.until("flushed")
        assert talk.until("error")["error"] == "BadRequest"
        with pytest.raises(WebSocketDisconnect) as closed:
            talk.next()
        assert closed.value.code == 1001


def test_the_key_and_the_page_are_checked_before_the_socket_opens():
    with asked_here(api_key="a-key-of-some-length") as http:
        with pytest.raises(WebSocketDenialResponse) as refused, http.websocket_connect(PATH):
            pass
        assert refused.value.status_code == 401
        headers = {"Authorization": "Bearer a-key-of-some-length"}
        with http.websocket_connect(PATH, headers=headers) as socket:
            Talk(socket).say(type="end")
        with pytest.raises(WebSocketDenialResponse) as refused:
            with http.websocket_connect(PATH, headers={**headers, "Origin": "http://evil.example"}):
                pass
        assert refused.value.status_code == 403


def test_a_conversation_is_counted_and_has_an_id():
    with asked_here() as http:
        with http.websocket_connect(PATH, headers={"X-Request-Id": "talk-1"}) as socket:
            assert (b"x-request-id", b"talk-1") in socket.extra_headers or "talk-1" in str(socket.extra_headers)
            talk = Talk(socket)
            talk.say(type="text", text="Hello.")
            talk.say(type="end")
            talk.until("done")
        (row,) = http.get("/requests").json()["requests"]
    assert (row["id"], row["door"], row["status"]) == ("talk-1", PATH, "done")
