"""The gateway with replicas in this process: responses are unchanged, and requests of a lost replica are retried."""

import asyncio
import threading

import pytest
from fastapi.testclient import TestClient

from backend.api.speech.response import StreamAborted
from backend.cluster.gateway import create_gateway
from backend.cluster.replica import Replica
from backend.cluster.replica_pool import MAX_TRIES
from backend.errors import Busy, NotAvailable, NotReady
from backend.settings import Settings
from tests.support.fake_engine import FakeEngine
from tests.support.local_cluster import SETTINGS, LocalReplicas, gateway_client
from tests.support.served import asked_here, within

TEXT = "words " * 30


@pytest.fixture
def workers():
    return LocalReplicas(FakeEngine())


def ask(http, **changes):
    return http.post("/tts", json={"text": TEXT, "seed": 4, "streaming": True, "format": "pcm", **changes})


def test_gateway_responses_equal_a_single_server(http):
    with asked_here() as alone:
        for change in ({}, {"format": "wav"}, {"streaming": False, "format": "flac"}, {"text": ""}, {"unknown": 1}):
            here, there = ask(http, **change), ask(alone, **change)
            assert (here.status_code, here.content) == (there.status_code, there.content)
            assert here.headers["content-type"] == there.headers["content-type"]
        assert http.get("/nowhere").json() == alone.get("/nowhere").json()
    assert http.get("/voices").json()["voices"][0]["id"] == "hum"


@pytest.mark.parametrize("n_messages", [0, 1])
def test_replica_lost_before_the_first_chunk_is_retried(http, workers, n_messages):
    expected = ask(http).content
    workers.lost_after = {1: n_messages, 2: n_messages}
    answer = ask(http)
    assert answer.status_code == 200 and answer.content == expected
    assert workers.n_requests == 4 == workers.n_closed


def test_replica_lost_after_the_first_chunk_aborts_the_response(workers, primary):
    workers.lost_after = {0: 3}
    gateway = create_gateway(SETTINGS, workers, primary)
    with TestClient(gateway) as http:
        http.portal.call(workers.replica.open)
        with pytest.raises(StreamAborted):
            ask(http)
        http.portal.call(workers.replica.close)
    assert workers.n_requests == 1


def test_losing_all_replicas_is_reported(http, workers):
    workers.lost_after = dict.fromkeys(range(MAX_TRIES), 0)
    answer = ask(http)
    assert answer.status_code == 503 and answer.headers["retry-after"] and workers.n_requests == MAX_TRIES
    assert ask(http).status_code == 200


def test_stored_data_requests_go_to_the_primary_once(http, workers, primary):
    form = {"data": {"name": "Ann", "consent": "true"}, "files": {"audio": b"RIFF"}}
    assert http.post("/voices", **form).status_code == 201
    assert len(primary.replica._host.engine.added) == 1 and workers.n_requests == 0
    primary.lost_after = {1: 0, 2: 0}
    lost = http.post("/voices", **form)
    assert lost.status_code == 503 and lost.headers["x-should-retry"] == "false"
    # Looking does no harm twice.
    assert http.get("/voices").status_code == 200 and primary.n_requests == 4


def test_full_queue_returns_retry_after(http, workers):
    workers.refusal = Busy("Every replica has as much waiting as it may.", 1.0)
    answer = ask(http)
    assert answer.status_code == 429 and answer.headers["retry-after-ms"] == "1000"


def test_gateway_checks_access(workers, primary):
    settings = Settings(device="cpu", api_key="a-key-for-the-gateway", max_upload_mb=1, rate_limit_per_min=5)
    with TestClient(create_gateway(settings, workers, primary)) as http:
        key = {"Authorization": "Bearer a-key-for-the-gateway"}
        assert http.post("/tts", json={"text": "x"}).status_code == 401
        assert http.get("/voices", headers={"Host": "evil.example"}).status_code == 403
        assert http.post("/tts", content=b"x" * 2**21, headers=key).status_code == 413
        assert [http.get("/voices").status_code for _ in range(5)][-1] == 429
    assert workers.n_requests == primary.n_requests == 0


def test_fair_queue_uses_the_key_like_a_single_server(workers, primary):
    settings, key = (
        Settings(device="cpu", api_key="a-key-for-the-gateway"),
        {"Authorization": "Bearer a-key-for-the-gateway"},
    )
    with gateway_client(workers, primary, settings) as http, asked_here(api_key="a-key-for-the-gateway") as alone:
        for one in (http, alone):
            assert one.post("/tts", json={"text": "Hello."}, headers=key).status_code == 200
        (name,) = workers.replica._host.engine.clients
        assert [name] == alone.engine.clients and name != "testclient"


def test_responses_name_their_replica(http):
    assert http.get("/health").headers["x-replica"].isdecimal()


def test_disconnect_cancels_the_replica(workers, primary):
    engine = FakeEngine()
    engine.pause_after_samples = 1600
    workers.replica = Replica(SETTINGS, "worker", lambda settings: engine)
    gateway = create_gateway(SETTINGS, workers, primary)
    body = b'{"text": "%s", "streaming": true, "format": "pcm"}' % TEXT.encode()
    left = threading.Event()
    sent = []

    async def leave_in_the_middle():
        await workers.replica.open()
        messages = [{"type": "http.request", "body": body}]

        async def receive():
            if messages:
                return messages.pop()
            while not left.is_set():
                await asyncio.sleep(0.005)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message.get("body"):
                left.set()

        scope = {
            "type": "http", "method": "POST", "path": "/tts", "raw_path": b"/tts", "query_string": b"", "root_path": "",
            "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "http_version": "1.1",
            "scheme": "http", "server": ("127.0.0.1", 1), "asgi": {"version": "3.0"},
        }  # fmt: skip
        await asyncio.wait_for(gateway(scope, receive, send), 10)
        within(2.0, lambda: engine.n_cancelled > 0)
        await workers.replica.close()

    asyncio.run(leave_in_the_middle())
    assert sent and not any(message.get("more_body") is False for message in sent)
    assert workers.n_closed == 1 and engine.n_pieces < len(TEXT) * 160 / 800


def test_replica_without_an_engine_fails_to_open():
    engine = FakeEngine()
    engine.load_failure = NotAvailable("No checkpoint in checkpoints/.")
    replica = Replica(SETTINGS, "worker", lambda settings: engine)
    with pytest.raises(NotReady, match="No checkpoint"):
        asyncio.run(replica.open())
