"""The reverse proxy of the Gradio page: forwarded and blocked requests, streaming, and disconnects."""

import time

import httpx
import pytest

pytest.importorskip("gradio")

from backend.errors import EngineFailure
from tests.support.fake_engine import FakeEngine
from tests.support.gradio_page import paged
from tests.support.served import served

TEXT = "The quick brown fox jumps over the lazy dog."
FORM = {"text": (None, TEXT), "seed": (None, "7"), "format": (None, "pcm"), "streaming": (None, "true")}


@pytest.fixture(scope="module")
def engine():
    return FakeEngine()


@pytest.fixture(scope="module")
def page(engine):
    with served(engine, api_key="s3cret") as backend, paged(backend, "s3cret") as url:
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
            http.backend = backend
            yield http


def test_streamed_speech_is_forwarded_unchanged_with_its_headers(page):
    direct = httpx.post(f"{page.backend}/tts", files=FORM, headers={"Authorization": "Bearer s3cret"}, trust_env=False)
    proxied = page.post("/backend/tts", files=FORM)
    assert proxied.status_code == 200
    assert proxied.content == direct.content and len(direct.content) == 2 * 160 * len(TEXT)
    for name in ("x-sample-rate", "x-channels", "x-seed", "content-type"):
        assert proxied.headers[name] == direct.headers[name]
    assert proxied.headers["x-request-id"]


def test_first_chunk_arrives_before_the_last_is_generated(page, engine):
    engine.pause_after_samples = 1600
    try:
        with page.stream("POST", "/backend/tts", files=FORM) as answer:
            chunks = answer.iter_raw()
            assert len(next(chunks)) > 0
            assert engine.paused.wait(20)
            engine.go_on.set()
            assert sum(map(len, chunks)) > 0
    finally:
        engine.pause_after_samples = 2**62
        engine.go_on.clear()


def test_client_disconnect_cancels_the_request(page, engine):
    engine.pause_after_samples, cancelled = 1600, engine.n_cancelled
    engine.paused.clear()
    try:
        with page.stream("POST", "/backend/tts", files=FORM) as answer:
            chunks = answer.iter_raw()  # keep the reference: without it the connection closes at once
            next(chunks)
            assert engine.paused.wait(20)
        end = time.monotonic() + 5
        while engine.n_cancelled == cancelled and time.monotonic() < end:
            page.get("/backend/health")
        assert engine.n_cancelled > cancelled
    finally:
        engine.pause_after_samples = 2**62


def test_aborted_stream_is_aborted_for_the_client_too(page, engine):
    engine.fail_after_samples, engine.failure = 1600, EngineFailure("made to fail")
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            page.post("/backend/tts", files=FORM)
    finally:
        engine.fail_after_samples = 2**62


def test_error_keeps_its_status_and_message(page):
    answer = page.post("/backend/tts", files={**FORM, "seed": (None, "seven")})
    assert answer.status_code == 400
    assert "seed is 'seven'" in answer.json()["message"]


@pytest.mark.parametrize("path", ["docs", "", "v2/anything", "voices/%2e%2e/docs", "gradio_api/info"])
def test_other_paths_of_the_backend_are_blocked(page, path):
    assert page.get(f"/backend/{path}").status_code == 404


def test_cross_origin_requests_are_rejected(page, engine):
    n_requests = len(engine.asked)
    answer = page.post("/backend/tts", files=FORM, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403 and len(engine.asked) == n_requests
    own = str(page.base_url).rstrip("/")
    assert page.post("/backend/tts", files=FORM, headers={"Origin": own}).status_code == 200


def test_api_key_never_reaches_the_browser(page):
    for path in ("/", "/config", "/page/page.js", "/backend/health"):
        answer = page.get(path)
        assert answer.status_code == 200 and "s3cret" not in answer.text + str(answer.headers)


def test_unreachable_backend_gives_502_with_a_message():
    with served(FakeEngine()) as backend:
        pass
    with paged(backend) as url:
        answer = httpx.get(f"{url}/backend/ready", trust_env=False)
    assert answer.status_code == 502
    assert "Start the backend" in answer.json()["message"]
