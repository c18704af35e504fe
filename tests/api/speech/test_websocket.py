"""The speech WebSocket: text in, audio out."""

import threading
import time
from contextlib import contextmanager

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from backend.api.speech.websocket import SpeechSocket
from backend.errors import BadText, Busy, EngineFailure
from tests.support.fake_engine import PIECE_SAMPLES, RATE_HZ, FakeEngine
from tests.support.served import asked_here, within
from tests.support.speech_socket import PATH, Talk, pcm_of


@contextmanager
def talking(engine=None, **settings):
    with asked_here(engine, **settings) as http, http.websocket_connect(PATH) as socket:
        yield Talk(socket), http.engine, http


def test_sentences_are_spoken_in_order():
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


def test_first_audio_is_sent_before_the_last_text():
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


def test_cancel_stops_audio_and_the_socket_accepts_new_text():
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
def test_cancel_during_a_send_drops_the_old_audio(monkeypatch, moment):
    send_json, send = SpeechSocket._send_json, WebSocket.send_bytes
    sockets, cancelled = [], threading.Event()

    async def cancel_in_between():
        # As if a cancel message arrived just now.
        if not cancelled.is_set():
            sockets[0]._cancel_all()
            cancelled.set()

    async def send_json_and_cancel(self, body, epoch=None):
        sockets.append(self)
        await send_json(self, body, epoch)
        if body["type"] == moment:
            await cancel_in_between()

    async def send_and_cancel(self, content):
        await send(self, content)
        if moment == "sound":
            await cancel_in_between()

    monkeypatch.setattr(SpeechSocket, "_send_json", send_json_and_cancel)
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


def test_cancel_of_a_queued_sentence_starts_nothing():
    engine = FakeEngine()
    engine.pause_after_samples = 0
    with talking(engine) as (talk, _, http):
        talk.say(type="text", text="Never heard. ")
        talk.say(type="flush")
        assert engine.paused.wait(5)
        talk.say(type="cancel")
        assert talk.until("cancelled") and talk.sound == b"" and engine.n_pieces == 0
        within(1.0, lambda: http.app.state.host.n_speeches == 0)


def test_disconnect_cancels_the_engine_stream():
    engine = FakeEngine()
    engine.pause_after_samples = PIECE_SAMPLES
    with asked_here(engine) as http:
        with http.websocket_connect(PATH) as socket:
            Talk(socket).say(type="text", text="Nobody hears the rest of this. And this. ")
            assert engine.paused.wait(5)
        within(2.0, lambda: http.app.state.host.n_speeches == 0 and http.app.state.host.n_sockets == 0)
    assert engine.n_cancelled >= 1


def test_only_the_next_sentence_is_generated_ahead():
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


def test_audio_is_paced():
    with talking() as (talk, _, _):
        talk.say(type="start", pace=0.3)
        talk.say(type="text", text="x" * 50)
        talk.say(type="end")
        began_s = time.monotonic()
        talk.until("done")
        took_s = time.monotonic() - began_s
    # One second of sound, of which the last but 0.3 s had to be waited for.
    assert len(talk.sound) == 2 * RATE_HZ and took_s >= 0.5


def test_timestamps_count_from_the_first_audio_of_the_socket():
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
def test_container_format_is_one_file_over_all_sentences(format, magic):
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


def test_failed_sentence_is_reported_and_the_socket_stays_open():
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


def test_unreadable_sentence_does_not_affect_the_others():
    engine = FakeEngine()
    engine.refusals["你好。"] = BadText("Not spoken: 2 characters of Han.")
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One. 你好。 Two.")
        talk.say(type="end")
        error = talk.until("error")
        assert (error["error"], error["sentence"]) == ("BadText", 1)
        talk.until("done")
    assert talk.sound == pcm_of("One.", "Two.")


def test_error_after_end_still_closes_the_socket():
    engine = FakeEngine()
    engine.refusal = EngineFailure("The lm thread failed.")
    with talking(engine) as (talk, _, _):
        talk.say(type="text", text="One. Two.")
        talk.say(type="end")
        assert talk.until("error")["sentence"] == 0
        talk.until("done")


def test_failure_during_streaming_is_reported():
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
def test_invalid_message_is_reported_and_closes_the_socket(message):
    with asked_here() as http, http.websocket_connect(PATH) as socket:
        socket.send_text(message)
        talk = Talk(socket)
        assert talk.until("error")["error"] == "BadRequest"
        with pytest.raises(WebSocketDisconnect) as closed:
            talk.next()
        assert closed.value.code == 1003 and http.engine.asked == []


def test_excess_text_is_rejected_and_the_socket_stays_open():
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


def test_key_and_origin_are_checked_before_the_socket_opens():
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


def test_websocket_is_counted_and_has_a_request_id():
    with asked_here() as http:
        with http.websocket_connect(PATH, headers={"X-Request-Id": "talk-1"}) as socket:
            assert (b"x-request-id", b"talk-1") in socket.extra_headers or "talk-1" in str(socket.extra_headers)
            talk = Talk(socket)
            talk.say(type="text", text="Hello.")
            talk.say(type="end")
            talk.until("done")
        (row,) = http.get("/requests").json()["requests"]
    assert (row["id"], row["door"], row["status"]) == ("talk-1", PATH, "done")
