"""All responses have security headers and reveal no internals."""

import asyncio
import socket
import threading
import time

import pytest

from backend import errors
from backend.api.errors import SECURITY_HEADERS, STATUS
from backend.api.middleware.timeouts import ClientStalled, TimeoutMiddleware
from backend.opt_engine import OptimizedEngine
from backend.settings import ROOT
from tests.support.error_leaks import INTERNALS, without_echo
from tests.support.fake_engine import FakeEngine
from tests.support.served import asked_here, served
from tests.support.small_engine import open_small, settings_in


def test_internals_pattern_matches_paths_and_tracebacks():
    for text in (str(ROOT / "x.py"), "C:\\data", 'File "x"', "at /tmp/data/voices", "<Foo object at 0x7f>"):
        assert INTERNALS.search(without_echo(text)), text
    assert not INTERNALS.search(
        without_echo("POST /nowhere/at/all: not found. See /docs for what there is. 3/4 of 1.5 s")
    )


def test_every_response_has_security_headers():
    with asked_here(api_key="the-only-key-there-is") as http:
        http.engine.refusal = ZeroDivisionError("x")
        key = {"Authorization": "Bearer the-only-key-there-is"}
        answers = [
            http.get("/health"), http.get("/voices"), http.get("/nowhere"), http.get("/voices", headers=key),
            http.post("/tts", json={"text": "x"}, headers=key), http.get("/health", headers={"Host": "evil.example"}),
        ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 401, 401, 200, 500, 403]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("kind", [*STATUS, ZeroDivisionError, OSError, MemoryError], ids=lambda kind: kind.__name__)
def test_no_error_response_reveals_internals(kind):
    inside = f"{ROOT}/backend/x.py"
    error = kind.__new__(kind)
    is_known = issubclass(kind, errors.PhonogramError)
    error.args = ("A sentence for the caller.",) if is_known else (2, inside)
    error.retry_after_s = 1.0
    error.__cause__ = OSError(inside)
    with asked_here() as http:
        http.engine.refusal = error
        for streaming in (False, True):
            answer = http.post("/tts", json={"text": "x", "streaming": streaming})
            assert answer.status_code == STATUS.get(kind, 500)
            assert not INTERNALS.search(without_echo(answer.text)), answer.text


BAD = b"RIFF\x00\x00\x00\x00WAVEjunk"
PROVOCATIONS = [
    ("GET", "/nowhere", {}),
    ("GET", "/../../etc/passwd", {}),
    ("PUT", "/tts", {}),
    ("POST", "/tts", {}),
    ("POST", "/tts", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/tts", {"content": b"\xff" * 99, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    ("POST", "/tts", {"json": {"text": "x", "unknown": 1}}),
    ("POST", "/tts", {"json": {"text": "x", "voice": "../../etc/passwd"}}),
    ("POST", "/tts", {"json": {"text": "x", "seed": -1}}),
    ("POST", "/tts", {"json": {"text": "<speak>", "markup": "ssml"}}),
    ("POST", "/tts", {"json": {"text": "x", "references": [{"audio": "!"}]}}),
    ("POST", "/tts", {"data": {"text": "x"}, "files": {"reference_audio": BAD}}),
    ("POST", "/tts", {"data": {"text": "x"}, "files": {"reference_audio": b"fLaC" + bytes(99)}}),
    ("POST", "/tts", {"data": {"text": "x"}, "files": {"reference_audio": b"OggS" + bytes(99)}}),
    ("POST", "/voices", {"data": {"name": "Ann", "consent": "true"}, "files": {"audio": BAD}}),
    ("POST", "/voices", {"data": {"name": "../x", "consent": "true"}, "files": {"audio": BAD}}),
    ("DELETE", "/voices/NUL", {}),
    ("DELETE", "/voices/..%5c..%5cx", {}),
    ("GET", "/metrics?format=neither", {}),
]


def test_no_request_makes_the_server_reveal_internals(tmp_path):
    with asked_here(OptimizedEngine(settings_in(tmp_path), open_small)) as http:
        for method, path, body in PROVOCATIONS:
            answer = http.request(method, path, **body)
            assert 400 <= answer.status_code < 500, (method, path, answer.text)
            assert not INTERNALS.search(without_echo(answer.text)), answer.text
            assert str(tmp_path) not in answer.text


def test_incomplete_request_times_out():
    with served(FakeEngine(), client_timeout_s=0.2) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(
                f"POST /tts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode()
            )
            answer = b""
            # Head and body may come apart.
            while b"CLIENT_TIMEOUT_S" not in answer and (more := client.recv(4096)):
                answer += more
    assert answer.startswith(b"HTTP/1.1 408") and b"CLIENT_TIMEOUT_S" in answer


def test_client_that_does_not_read_frees_its_slot():
    engine = FakeEngine()
    text = "x" * 100_000  # 32 MB of sound, more than any socket holds
    with served(engine, client_timeout_s=0.3, max_text_chars=100_000) as url:
        host, port = url.removeprefix("http://").split(":")
        body = f'{{"text": "{text}", "streaming": true, "format": "pcm"}}'
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(
                f"POST /tts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            assert client.recv(15).startswith(b"HTTP/1.1 200")
            deadline_s = time.monotonic() + 60
            while engine.n_cancelled == 0:
                assert time.monotonic() < deadline_s, "the place is still held"
                time.sleep(0.01)
    assert engine.n_pieces * 1600 < len(text) * 320


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_disconnect_is_detected_on_any_connection(kind):
    async def app(scope, receive, send):
        await send({"type": f"{kind}.send"})

    async def never(message):
        await asyncio.Event().wait()

    with pytest.raises(ClientStalled):
        asyncio.run(TimeoutMiddleware(app, 0.01)({"type": kind}, never, never))


def test_speech_may_take_longer_than_the_client_timeout():
    engine = FakeEngine()
    engine.pause_after_samples = 800
    threading.Timer(0.6, engine.go_on.set).start()
    with asked_here(engine, client_timeout_s=0.2) as http:
        assert http.post("/tts", json={"text": "words " * 9}).status_code == 200
