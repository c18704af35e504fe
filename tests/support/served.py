"""The application with a fake engine: as a test client in this process, or served on a local port."""

import socket
import threading
import time
from contextlib import contextmanager

import uvicorn
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.settings import Settings
from tests.support.fake_engine import FakeEngine


def within(limit_s, condition):
    """Waits until `condition()` holds; fails after `limit_s`."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        time.sleep(0.002)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_speeches(http, url):
    return http.get(f"{url}/metrics?format=json").json()["phonogram_open_speeches"]


def openai_client(url, **options):
    import openai

    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", http_client=http, **options)


@contextmanager
def asked_here(engine=None, **changes):
    """Yields a test client; `client.engine` is its fake engine."""
    engine = engine or FakeEngine()
    app = create_app(Settings(device="cpu", **changes), lambda settings: engine)
    with TestClient(app, raise_server_exceptions=False) as client:
        app.state.host.wait(10)
        client.engine, client.metrics = engine, app.state.metrics
        yield client


@contextmanager
def served(engine, at_port=0, **changes):
    """Yields the URL of a real server; port 0 picks a free one."""
    app = create_app(Settings(device="cpu", **changes), lambda settings: engine)
    # Without IPPROTO_TCP the event loop does not disable Nagle's algorithm, which delays small responses by 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", at_port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                thread.join(0.01)
            app.state.host.wait(10)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
