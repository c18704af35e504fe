"""The speech WebSocket through a gateway equals that of a single server; lost replicas are reported."""

import asyncio
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from backend import errors
from backend.cluster.in_flight import InFlight
from backend.cluster.remote_speech import RemoteSpeech
from backend.cluster.replica_pool import MAX_TRIES
from backend.errors import BadRequest, Busy, EngineFailure, PhonogramError, RetryLater
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from tests.support.fake_engine import PIECE_SAMPLES, FakeEngine
from tests.support.local_cluster import SETTINGS, LocalReplicas, gateway_client
from tests.support.served import asked_here, within
from tests.support.speech_socket import PATH, Talk, pcm_of

STORY = "One is here. Two is here. Three is here. "
SCRIPTS = {
    "cut anywhere": ({"type": "text", "text": "Hello the"}, {"type": "text", "text": "re. How are you? Fine"}),
    "flush": ({"type": "text", "text": "And then"}, {"type": "flush"}, {"type": "text", "text": "More"}),
    "options": (
        {"type": "start", "voice": "hum", "seed": 5, "speed": 1.5, "timings": True, "pace": 0},
        {"type": "text", "text": STORY},
    ),
    "a file in JSON": (
        {"type": "start", "format": "wav", "audio": "json", "seed": 1, "pace": 0}, {"type": "text", "text": STORY},
    ),
    "an encoder": ({"type": "start", "format": "mp3", "seed": 3, "pace": 0}, {"type": "text", "text": STORY}),
    "too much": ({"type": "text", "text": "x" * 6001}, {"type": "text", "text": "Short."}),
}  # fmt: skip


@pytest.fixture
def engine():
    engine = FakeEngine()
    yield engine
    engine.go_on.set()


@pytest.fixture
def workers(engine):
    return LocalReplicas(engine)


@contextmanager
def talking(http):
    with http.websocket_connect(PATH) as socket:
        yield Talk(socket)


def heard(http, script):
    """The sound, what was told, and the code of closing."""
    with talking(http) as talk:
        for message in script:
            talk.say(**message)
        talk.say(type="end")
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                talk.next()
    return talk.sound, talk.told, closed.value.code


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_gateway_websocket_equals_a_single_server(script, http, engine):
    with asked_here(max_text_chars=SETTINGS.max_text_chars) as alone:
        assert heard(http, script) == heard(alone, script)
        assert engine.asked == alone.engine.asked


def test_websocket_audio_equals_the_http_endpoint(http):
    ask = {"type": "start", "voice": "hum", "seed": 11, "speed": 1.0}
    sound, _, _ = heard(http, (ask, {"type": "text", "text": "The same sentence."}))
    body = {"text": "The same sentence.", "voice": "hum", "seed": 11, "format": "pcm"}
    with asked_here() as alone:
        assert sound == http.post("/tts", json=body).content == alone.post("/tts", json=body).content


def test_unknown_voice_error_equals_a_single_server(http):
    def told(http):
        with talking(http) as talk:
            talk.say(type="start", voice="nobody")
            talk.say(type="text", text="Hello there. ")
            talk.say(type="flush")
            return talk.until("error")

    with asked_here() as alone:
        assert told(http) == told(alone)


@pytest.mark.parametrize("message", ["no json", '{"type": "sing"}', '{"type": "text", "text": "%s"}' % ("x" * 70_000)])
def test_invalid_message_is_reported_and_closes_the_socket(message, http, engine):
    with talking(http) as talk:
        talk._socket.send_text(message)
        assert talk.until("error")["error"] == "BadRequest"
        with pytest.raises(WebSocketDisconnect) as closed:
            talk.next()
    assert closed.value.code == 1003 and engine.asked == []


def test_unauthenticated_and_cross_origin_sockets_are_rejected(workers, primary):
    settings = Settings(device="cpu", api_key="a-key-for-the-gateway")
    key = {"Authorization": "Bearer a-key-for-the-gateway"}
    with gateway_client(workers, primary, settings) as http:
        for headers, status in (
            ({}, 401), (key | {"Origin": "http://evil.example"}, 403), (key | {"Host": "evil.example"}, 403)
        ):  # fmt: skip
            with pytest.raises(WebSocketDenialResponse) as refused, http.websocket_connect(PATH, headers=headers):
                pass
            assert refused.value.status_code == status
        with http.websocket_connect(PATH, headers=key) as socket:
            Talk(socket).say(type="end")
    assert workers.n_requests == 0


def test_excess_sockets_and_other_paths_are_rejected(workers, primary):
    with gateway_client(workers, primary, max_sockets=1) as http, talking(http) as talk:
        with pytest.raises(WebSocketDenialResponse) as refused, http.websocket_connect(PATH):
            pass
        assert (refused.value.status_code, refused.value.json()["error"]) == (429, "Busy")
        with pytest.raises(WebSocketDisconnect), http.websocket_connect("/tts"):
            pass
        talk.say(type="end")
        talk.until("done")


def test_idle_socket_uses_no_slot_and_a_speech_does(http, workers, engine):
    engine.pause_after_samples = PIECE_SAMPLES
    with talking(http) as silent, talking(http) as talk:
        silent.say(type="start", seed=1)
        talk.say(type="text", text="Only this is spoken. ")
        talk.say(type="flush")
        assert engine.paused.wait(5)
        within(2.0, lambda: workers.n_open == 1)
        assert workers.replica._host.n_speeches == 1
        engine.go_on.set()
        talk.until("flushed")
        within(2.0, lambda: workers.n_open == workers.replica._host.n_speeches == 0)


def test_cancel_frees_the_slot_and_new_text_is_spoken(http, workers, engine):
    engine.pause_after_samples = 2 * PIECE_SAMPLES
    with talking(http) as talk:
        talk.say(type="start", pace=0)
        talk.say(type="text", text="A long story that nobody wants to hear. And one more sentence. ")
        assert engine.paused.wait(5)
        talk.say(type="cancel")
        talk.until("cancelled")
        n_old = len(talk.sound)
        within(2.0, lambda: workers.n_open == workers.replica._host.n_speeches == 0)
        assert engine.n_cancelled >= 1
        engine.pause_after_samples = 2**62
        talk.say(type="text", text="New words.")
        talk.say(type="end")
        talk.until("done")
    assert n_old <= 2 * 2 * PIECE_SAMPLES and talk.sound[n_old:] == pcm_of("New words.")


def test_websocket_disconnect_cancels_the_replica(http, workers, engine):
    engine.pause_after_samples = PIECE_SAMPLES
    with talking(http) as talk:
        talk.say(type="text", text="Nobody hears the rest of this. And this. ")
        assert engine.paused.wait(5)
    within(2.0, lambda: workers.n_open == workers.replica._host.n_speeches == 0)
    counted = workers.replica.app.state.metrics.as_json()["phonogram_speeches_total"]
    assert engine.n_cancelled >= 1 and {"outcome": "cancelled", "value": 0.0} not in counted


@pytest.mark.parametrize("n_lost", [1, MAX_TRIES - 1])
def test_replica_lost_before_the_first_chunk_is_retried(http, workers, n_lost):
    workers.lost_after = dict.fromkeys(range(n_lost), 0)
    sound, told, code = heard(http, ({"type": "text", "text": "Nobody notices."},))
    assert (sound, told[-1]["type"], code) == (pcm_of("Nobody notices."), "done", 1000)
    assert workers.n_requests == n_lost + 1 and workers.n_open == 0


def test_replica_lost_during_speech_is_reported_and_closes_the_socket(http, workers):
    workers.lost_after = {1: 1}
    whole, broken = "This one is whole.", "This one breaks off."
    sound, told, code = heard(http, ({"type": "text", "text": f"{whole} {broken} And nothing after. "},))
    assert code == 1011 and "done" not in [body["type"] for body in told]
    assert (told[-1]["type"], told[-1]["error"], told[-1]["sentence"]) == ("error", "SpeakerLost", 1)
    assert told[-1]["retry_after_ms"] == 2000
    # What had come is heard, and the break is where it says.
    assert sound == pcm_of(whole, broken)[: 2 * (len(whole) * 160 + PIECE_SAMPLES)]
    within(2.0, lambda: workers.n_open == 0)


def test_losing_all_replicas_is_reported_and_closes_the_socket(http, workers):
    workers.lost_after = dict.fromkeys(range(MAX_TRIES), 0)
    sound, told, code = heard(http, ({"type": "text", "text": "Never heard. "},))
    assert (sound, told[-1]["error"], code, workers.n_requests) == (b"", "SpeakerLost", 1011, MAX_TRIES)


def test_idle_socket_outlives_its_replica(http, workers):
    with talking(http) as talk:
        talk.say(type="start", seed=1)
        for text in ("Before.", "After."):
            talk.say(type="text", text=text)
            talk.say(type="flush")
            talk.until("flushed")
            # An update: another replica in its place, with an engine that has heard nothing.
            http.portal.call(workers.replica.close)
            workers.replica = LocalReplicas(FakeEngine()).replica
            http.portal.call(workers.replica.open)
        talk.say(type="end")
        talk.until("done")
    with asked_here() as alone:
        script = [{"type": "start", "seed": 1}]
        for text in ("Before.", "After."):
            script += [{"type": "text", "text": text}, {"type": "flush"}]
        assert talk.sound == heard(alone, script)[0]


@pytest.mark.parametrize("refused_by", ["the gateway's queue", "the replica"])
def test_full_queue_reports_retry_after_and_the_socket_stays_open(refused_by, http, workers, engine):
    refuser = workers if refused_by == "the gateway's queue" else engine
    refuser.refusal = Busy("9 requests wait already.", 2.5)
    with talking(http) as talk:
        talk.say(type="text", text="One. Two. ")
        error = talk.until("error")
        assert (error["error"], error["message"]) == ("Busy", "9 requests wait already.")
        assert (error["sentence"], error["retry_after_ms"]) == (0, 2500)
        refuser.refusal = None
        talk.say(type="text", text="Again.")
        talk.say(type="end")
        talk.until("done")
    assert talk.sound == pcm_of("Again.")


def test_engine_failure_is_reported_and_the_socket_stays_open(http, engine):
    engine.fail_after_samples, engine.failure = PIECE_SAMPLES, EngineFailure("The lm thread failed.")
    with talking(http) as talk:
        talk.say(type="text", text="A sentence of some length. ")
        talk.say(type="flush")
        assert talk.until("error")["message"] == "The lm thread failed."
        engine.fail_after_samples = 2**62
        talk.say(type="text", text="Again.")
        talk.say(type="end")
        talk.until("done")
    assert talk.sound.endswith(pcm_of("Again."))


def test_internal_error_hides_its_details(http, engine, caplog):
    engine.refusal = RuntimeError("a secret of the inside")
    with caplog.at_level(logging.ERROR), talking(http) as talk:
        talk.say(type="text", text="Hello there. ")
        talk.say(type="flush")
        error = talk.until("error")
    assert error["error"] == "EngineFailure" and "secret" not in error["message"]
    assert "secret" in caplog.text


def test_replica_records_speech_with_the_socket_request_id(http, workers, primary, engine):
    with http.websocket_connect(PATH, headers={"X-Request-Id": "talk-1"}) as socket:
        assert "talk-1" in str(socket.extra_headers)
        talk = Talk(socket)
        talk.say(type="text", text="Hello there. Bye")
        talk.say(type="end")
        talk.until("done")
    rows = http.get("/requests").json()["requests"]
    assert {(row["id"], row["door"], row["status"]) for row in rows} == {("talk-1", PATH, "done")} and len(rows) == 2
    assert len(set(engine.clients)) == 1 and engine.clients[0] and primary.n_requests == 0


def test_fair_queue_uses_the_key_of_the_socket(workers, primary, engine):
    with gateway_client(workers, primary, Settings(device="cpu", api_key="a-key-for-the-gateway")) as http:
        with http.websocket_connect(PATH, headers={"Authorization": "Bearer a-key-for-the-gateway"}) as socket:
            talk = Talk(socket)
            talk.say(type="text", text="Hello there.")
            talk.say(type="end")
            talk.until("done")
    with asked_here(api_key="a-key-for-the-gateway") as alone:
        with alone.websocket_connect(PATH, headers={"Authorization": "Bearer a-key-for-the-gateway"}) as socket:
            talk = Talk(socket)
            talk.say(type="text", text="Hello there.")
            talk.say(type="end")
            talk.until("done")
        assert engine.clients == alone.engine.clients


def test_speech_cancelled_before_opening_calls_no_replica(workers):
    async def leave_first():
        speech = RemoteSpeech(workers, InFlight(), SpeechRequest(text="Never asked."), {}, False)
        speech.cancel()
        with pytest.raises(errors.Cancelled):
            await speech.open()
        speech.close()

    asyncio.run(leave_first())
    assert workers.n_requests == 0


def test_errors_survive_pickling():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PhonogramError)]
    for kind in kinds:
        error = kind("Got, expected, what to do.", 1.5) if issubclass(kind, RetryLater) else kind("Got, expected.")
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind and str(copy) == str(error) and vars(copy) == vars(error)
    told = pickle.loads(pickle.dumps(BadRequest("No.", "voice", "missing")))
    assert (told.param, told.code) == ("voice", "missing") and len(kinds) > 20


def test_draining_gateway_finishes_speech_and_rejects_new_speech(http, engine):
    engine.pause_after_samples = PIECE_SAMPLES
    host = http.app.state.host
    with talking(http) as silent, talking(http) as talk:
        talk.say(type="text", text="This is heard to its end.")
        talk.say(type="flush")
        while talk.next() != "sound":
            pass
        assert host.n_speeches == 1
        host.drain()
        talk.say(type="text", text="This is not begun.")
        talk.say(type="flush")
        assert http.get("/ready").status_code == 503 and http.get("/health").status_code == 200
        refused = http.post("/tts", json={"text": "x"})
        assert refused.status_code == 503 and refused.json()["error"] == "Stopping"
        with pytest.raises(WebSocketDenialResponse) as denied, http.websocket_connect(PATH):
            pass
        assert denied.value.status_code == 503
        silent.say(type="text", text="Too late. ")
        silent.say(type="flush")
        assert silent.until("error")["error"] == "Stopping"
        engine.go_on.set()
        assert talk.until("flushed") and talk.until("error")["error"] == "Stopping"
        within(2.0, lambda: host.n_speeches == 0)
    assert talk.sound == pcm_of("This is heard to its end.") and silent.sound == b""


def test_drain_waits_for_requests_in_flight(http, engine):
    engine.pause_after_samples = PIECE_SAMPLES
    host = http.app.state.host
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(http.post, "/tts", json={"text": "Some words.", "format": "pcm"})
        assert engine.paused.wait(5) and host.n_speeches == 1
        host.drain()
        engine.go_on.set()
        assert asked.result().content == pcm_of("Some words.") and host.n_speeches == 0
