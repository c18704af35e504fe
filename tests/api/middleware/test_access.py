"""Access control of requests and WebSockets: host, origin, API key and rate limit."""

import logging

import pytest
from fastapi import WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from backend.api.middleware.api_keys import ApiKeys, key_name
from backend.api.middleware.rate_limit import MAX_CLIENTS, REMOTE_PER_MIN, RateLimit
from backend.api.middleware.trusted_hosts import TrustedHosts
from backend.app import create_app, warn_if_open
from backend.settings import Settings
from tests.support.fake_engine import FakeEngine
from tests.support.served import asked_here

KEYS = "first-of-the-keys, second-of-the-keys"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "192.168.0.7:8000", "[fe80::1%eth0]:80", "phonogram:8000",
     "tts.localhost:8000", "localhost."],
)  # fmt: skip
def test_addresses_and_unregistrable_names_are_accepted(host):
    with asked_here() as http:
        assert http.get("/voices", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/voices", "/health", "/nowhere"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example."]
)
def test_dns_rebinding_host_is_rejected(host, path):
    with asked_here() as http:
        refused = http.get(path, headers={"Host": host})
    assert refused.status_code == 403 and "ALLOWED_HOSTS" in refused.json()["message"]


def test_allowed_hosts_are_accepted():
    names = TrustedHosts("tts.example", "a.example, b.example")
    assert all(map(names.allows, ("tts.example:8000", "A.example", "b.example.")))
    assert not names.allows("c.example")
    assert TrustedHosts("127.0.0.1", "*").allows("c.example")


def test_two_host_headers_are_refused():
    with asked_here() as http:
        both = [("Host", "localhost"), ("Host", "evil.example")]
        assert http.get("/voices", headers=both).status_code in (400, 403)


def test_only_listed_keys_are_accepted():
    with asked_here(api_key=KEYS) as http:
        for key in ("first-of-the-keys", "second-of-the-keys"):
            assert http.get("/voices", headers={"Authorization": f"Bearer {key}"}).status_code == 200
            assert http.get("/voices", headers={"xi-api-key": key}).status_code == 200
        for key in ("", "first", KEYS, "first-of-the-keys,", "first-of-the-keys x", "ü"):
            sent = f"Bearer {key}".encode()
            assert http.get("/voices", headers={"Authorization": sent}).status_code == 401
        assert http.get("/nowhere").status_code == 401
        assert http.get("/voices", params={"api_key": "first-of-the-keys"}).status_code == 401


def test_server_keeps_only_key_digests():
    ring = ApiKeys(KEYS)
    found = ring.find("second-of-the-keys")
    assert found is not None and found.name == key_name("second-of-the-keys") and len(found.name) == 8
    assert "of-the-keys" not in repr(vars(ring))
    assert ring.n_short == 0 and ApiKeys("abc," + KEYS).n_short == 1


def test_every_key_is_compared_in_constant_time(monkeypatch):
    seen = []
    monkeypatch.setattr("secrets.compare_digest", lambda left, right: seen.append((left, right)) or left == right)
    ring = ApiKeys(KEYS)
    for sent in ("first-of-the-keys", "x", "x" * 999):
        seen.clear()
        ring.find(sent)
        assert len(seen) == 2 and {len(digest) for pair in seen for digest in pair} == {32}


def test_keys_and_texts_stay_out_of_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    with asked_here(api_key=KEYS, host="0.0.0.0") as http:
        for key in ("first-of-the-keys", "wrong-key"):
            http.post("/tts", json={"text": "A private sentence."}, headers={"Authorization": f"Bearer {key}"})
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "of-the-keys" not in logged and "wrong-key" not in logged and "private" not in logged


@pytest.mark.parametrize(("keys", "finding"), [("", "without an API key"), ("short", "can be guessed"), (KEYS, None)])
def test_open_network_without_a_key_is_logged(keys, finding, caplog):
    warn_if_open(Settings(host="0.0.0.0", api_key=keys))
    warn_if_open(Settings(api_key=keys))
    assert [finding in record.getMessage() for record in caplog.records] == ([True] if finding else [])


def test_by_default_only_this_machine_is_listened_to():
    assert Settings().host == "127.0.0.1"


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_rate_limit_allows_a_burst_then_a_steady_rate():
    clock = Clock()
    rate = RateLimit(60, clock)
    assert [rate.wait_s(None, "203.0.113.5") for _ in range(60)] == [0.0] * 60
    assert rate.wait_s(None, "203.0.113.5") == pytest.approx(1.0)
    clock.now_s = 0.9
    assert rate.wait_s(None, "203.0.113.5") == pytest.approx(0.1)
    clock.now_s = 2.0
    assert [rate.wait_s(None, "203.0.113.5") > 0 for _ in range(3)] == [False, False, True]
    assert rate.wait_s(None, "203.0.113.6") == 0.0


def test_rate_limit_identifies_clients_by_key_else_address():
    rate = RateLimit(1, Clock())
    assert rate.wait_s("one", "203.0.113.5") == rate.wait_s("two", "203.0.113.5") == 0.0
    assert rate.wait_s("one", "203.0.113.6") > 0
    assert rate.wait_s(None, "2001:db8::1") == 0.0
    assert rate.wait_s(None, "2001:db8::ffff:1") > 0
    assert rate.wait_s(None, "2001:db8:0:1::1") == 0.0


def test_by_default_only_other_machines_are_limited():
    rate = RateLimit(Settings().rate_limit_per_min, Clock())
    for near in (None, "127.0.0.1", "::1", "::ffff:127.0.0.1", "testclient"):
        assert not any(rate.wait_s(None, near) for _ in range(REMOTE_PER_MIN + 1))
    assert [rate.wait_s(None, "192.0.2.1") > 0 for _ in range(REMOTE_PER_MIN + 1)].count(True) == 1
    assert not any(RateLimit(0, Clock()).wait_s(None, "192.0.2.1") for _ in range(2 * REMOTE_PER_MIN))


def test_rate_limit_memory_is_bounded():
    rate = RateLimit(1, Clock())
    for number in range(MAX_CLIENTS + 50):
        rate.wait_s(None, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rate._buckets) == MAX_CLIENTS


def test_rate_limited_requests_get_retry_after():
    with asked_here(rate_limit_per_min=2, api_key=KEYS) as http:
        first, second = ({"Authorization": f"Bearer {key}"} for key in KEYS.split(", "))
        assert [http.get("/voices", headers=first).status_code for _ in range(3)] == [200, 200, 429]
        refused = http.get("/voices", headers=first)
        assert 0 < int(refused.headers["retry-after-ms"]) <= 30_000 and int(refused.headers["retry-after"]) >= 1
        assert http.get("/voices", headers=second).status_code == 200
        assert {http.get("/health").status_code for _ in range(9)} == {200}
        # Nor can keys be tried any faster.
        assert [http.get("/voices").status_code for _ in range(3)] == [401, 401, 429]


@pytest.fixture
def echo():
    """The application with a WebSocket that anybody who is let in may talk to."""
    app = create_app(Settings(device="cpu", api_key=KEYS), lambda settings: FakeEngine())

    @app.websocket("/echo")
    async def echoed(socket: WebSocket):
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    with TestClient(app) as http:
        yield http


KEY = {"Authorization": "Bearer first-of-the-keys"}


def test_websocket_with_the_key_is_accepted(echo):
    for origin in ({}, {"Origin": "http://localhost:7860"}):
        with echo.websocket_connect("/echo", headers={**KEY, **origin}) as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "hello"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({**KEY, "Origin": "http://evil.example"}, 403), ({**KEY, "Host": "evil.example"}, 403)],
)
def test_websocket_is_rejected_like_a_request(echo, headers, status):
    with pytest.raises(WebSocketDenialResponse) as refused, echo.websocket_connect("/echo", headers=headers):
        pass
    assert refused.value.status_code == status and refused.value.json()["message"]


def test_unauthenticated_body_is_not_read():
    with asked_here(api_key=KEYS) as http:
        n_read, sent = 0, []

        async def receive():
            nonlocal n_read
            n_read += 1
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/tts", "raw_path": b"/tts", "query_string": b"", "headers": [],
            "scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1), "http_version": "1.1",
            "asgi": {"version": "3.0"}, "root_path": "", "state": {},
        }  # fmt: skip
        http.portal.call(http.app, scope, receive, send)
    assert sent[0]["status"] == 401 and n_read == 0
