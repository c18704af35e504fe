"""A real server on a port: disconnects, aborted bodies, and responses during speech."""

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from backend.api.engine_host import MAX_SPEECHES
from backend.errors import EngineFailure
from tests.support.fake_engine import WAIT_LIMIT_S, FakeEngine
from tests.support.served import open_speeches, served, within

TEXT = "words " * 40


@pytest.fixture
def engine():
    engine = FakeEngine()
    yield engine
    engine.go_on.set()


def test_first_chunk_is_sent_before_the_last_is_generated(engine):
    engine.pause_after_samples = 1600
    with served(engine) as url, httpx.Client(trust_env=False, timeout=WAIT_LIMIT_S) as http:
        with http.stream("POST", f"{url}/tts", json={"text": TEXT, "streaming": True, "format": "pcm"}) as answer:
            pieces = answer.iter_raw()
            assert len(next(pieces)) == 1600 and engine.n_pieces <= 2
            engine.go_on.set()
            assert sum(map(len, pieces)) == len(TEXT) * 160 * 2 - 1600


@pytest.mark.parametrize("streaming", [True, False])
def test_disconnect_stops_the_engine(engine, streaming):
    engine.pause_after_samples = 1600
    with served(engine) as url:
        host, port = url.removeprefix("http://").split(":")
        body = b'{"text": "%s", "streaming": %s}' % (TEXT.encode(), str(streaming).lower().encode())
        head = f"POST /tts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + body)
            assert engine.paused.wait(5)
            if streaming:
                assert client.recv(15).startswith(b"HTTP/1.1 200")
        within(1.0, lambda: engine.n_cancelled >= 1)
        with httpx.Client(trust_env=False) as http:
            within(1.0, lambda: open_speeches(http, url) == 0)
            counted = http.get(f"{url}/metrics?format=json").json()["phonogram_speeches_total"]
    assert {"outcome": "cancelled", "value": 1.0} in counted
    assert engine.n_pieces == 2


def test_failure_after_the_start_aborts_the_response(engine):
    engine.fail_after_samples, engine.failure = 2400, EngineFailure("The lm thread failed.")
    with served(engine) as url, httpx.Client(trust_env=False) as http:
        for format in ("wav", "flac", "pcm"):
            with http.stream("POST", f"{url}/tts", json={"text": TEXT, "streaming": True, "format": format}) as answer:
                assert answer.status_code == 200
                with pytest.raises(httpx.RemoteProtocolError):
                    list(answer.iter_raw())
        counted = http.get(f"{url}/metrics?format=json").json()["phonogram_speeches_total"]
    assert {"outcome": "failed", "value": 3.0} in counted


def test_health_responds_fast_under_load(engine):
    engine.pause_after_samples = 800
    n_speeches = MAX_SPEECHES + 6
    limits = httpx.Limits(max_connections=n_speeches + 1)
    with (
        served(engine) as url,
        httpx.Client(trust_env=False, timeout=WAIT_LIMIT_S, limits=limits) as http,
        ThreadPoolExecutor(n_speeches) as pool,
    ):
        waiting = [pool.submit(http.post, f"{url}/tts", json={"text": TEXT}) for _ in range(n_speeches)]
        within(5.0, lambda: len(engine.asked) == MAX_SPEECHES)
        for _ in range(20):
            assert http.get(f"{url}/health").status_code == 200
        # Every answer came while all speeches were held.
        assert sum(not speech.done() for speech in waiting) >= MAX_SPEECHES
        engine.go_on.set()
        statuses = [speech.result().status_code for speech in waiting]
    assert (statuses.count(200), statuses.count(429)) == (MAX_SPEECHES, 6)


def test_large_body_is_rejected_while_it_is_read(engine):
    with served(engine, max_upload_mb=1) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(
                f"POST /tts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            for _ in range(17):
                client.sendall(chunk)
            # The body never ends, and the answer is there.
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"MAX_UPLOAD_MB" in answer
    assert engine.asked == []
