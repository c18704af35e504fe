"""Graceful shutdown: running speech finishes, new speech is rejected, and the wait is limited."""

import socket
import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from backend.app import create_app
from backend.cli.graceful_server import GracefulServer, require_free
from backend.errors import NotAvailable
from backend.settings import Settings
from tests.support.fake_engine import WAIT_LIMIT_S, FakeEngine
from tests.support.served import within

TEXT = "words " * 40


@contextmanager
def patient(engine, timeout_s):
    """Yields the server, its thread and a client."""
    app = create_app(Settings(device="cpu"), lambda settings: engine)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = GracefulServer(config, timeout_s)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        within(60, lambda: server.started)
        app.state.host.wait(60)
        with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_LIMIT_S) as http:
            yield server, thread, http
        engine.go_on.set()
        server.should_exit = server.force_exit = True
        thread.join(10)


def begin(http):
    return http.stream("POST", "/tts", json={"text": TEXT, "streaming": True, "format": "pcm"})


def test_shutdown_finishes_running_speech_and_rejects_new_speech():
    engine = FakeEngine()
    engine.pause_after_samples = 1600
    with patient(engine, 30.0) as (server, thread, http), begin(http) as answer:
        pieces = answer.iter_raw()
        n_bytes = len(next(pieces))
        server.should_exit = True
        within(5, lambda: http.get("/ready").status_code == 503)
        refused = http.post("/tts", json={"text": "x"})
        assert refused.status_code == 503 and refused.json()["error"] == "Stopping"
        assert int(refused.headers["retry-after"]) >= 1 and refused.headers["retry-after-ms"]
        assert http.get("/health").status_code == 200 and thread.is_alive()
        engine.go_on.set()
        assert n_bytes + sum(map(len, pieces)) == len(TEXT) * 160 * 2
        thread.join(5)
        assert not thread.is_alive() and engine.is_closed


def test_endless_speech_stops_at_the_limit():
    engine = FakeEngine()
    engine.pause_after_samples = 1600
    with patient(engine, 0.2) as (server, thread, http), begin(http) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        server.should_exit = True
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
        engine.go_on.set()
        thread.join(10)
        assert not thread.is_alive()


def test_an_idle_server_stops_at_once():
    with patient(FakeEngine(), 30.0) as (server, thread, _):
        server.should_exit = True
        thread.join(5)
        assert not thread.is_alive()


def test_used_port_is_reported_at_once():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NotAvailable, match=f"127.0.0.1 at port {port}.*--port"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
