"""The backend under the page's address: what passes, what does not, and that leaving is told."""

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


def test_streamed_speech_comes_through_unchanged_and_with_its_headers(page):
    direct = httpx.post(f"{page.backend}/tts", files=FORM, headers={"Authorization": "Bearer s3cret"}, trust_env=False)
    relayed = page.post("/backend/tts", files=FORM)
    assert relayed.status_code == 200
    assert relayed.content == direct.content and len(direct.content) == 2 * 160 * len(TEXT)
    for name in ("x-sample-rate", "x-channels", "x-seed", "content-type"):
        assert relayed.headers[name] == direct.headers[name]
    assert relayed.headers["x-request-id"]


def test_first_piece_arrives_before_the_last_is_made(page, engine):
    engine.pause_after_samples = 1600
    try:
        with page.stream("POST", "/backend/tts", files=FORM) as answer:
            pieces = answer.iter_raw()
            assert len(next(pieces)) > 0
            assert engine.paused.wait(20)
            engine.go_on.set()
            assert sum(map(len, pieces)) > 0
    finally:
        engine.pause_after_samples = 2**62
        engine.go_on.clear()


def test_visitor_who_leaves_ends_the_work(page, engine):
    engine.pause_after_samples, cancelled = 1600, engine.n_cancelled
    engine.paused.clear()
    try:
        with page.stream("POST", "/backend/tts", files=FORM) as answer:
            pieces = answer.iter_raw()  # kept: dropped, it would end the connection at once
            next(pieces)
            assert engine.paused.wait(20)
        end = time.monotonic() + 5
        while engine.n_cancelled == cancelled and time.monotonic() < end:
            page.get("/backend/health")
        assert engine.n_cancelled > cancelled
    finally:
        engine.pause_after_samples = 2**62


def test_speech_that_breaks_off_never_looks_whole(page, engine):
    engine.fail_after_samples, engine.failure = 1600, EngineFailure("made to fail")
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            page.post("/backend/tts", files=FORM)
    finally:
        engine.fail_after_samples = 2**62


def test_refusal_keeps_its_status_and_sentence(page):
    answer = page.post("/backend/tts", files={**FORM, "seed": (None, "seven")})
    assert answer.status_code == 400
    assert "seed is 'seven'" in answer.json()["message"]


@pytest.mark.parametrize("path", ["docs", "", "v2/anything", "voices/%2e%2e/docs", "gradio_api/info"])
def test_other_paths_of_the_backend_stay_behind_it(page, path):
    assert page.get(f"/backend/{path}").status_code == 404


def test_page_of_a_stranger_may_not_drive_it(page, engine):
    n_asked = len(engine.asked)
    answer = page.post("/backend/tts", files=FORM, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403 and len(engine.asked) == n_asked
    own = str(page.base_url).rstrip("/")
    assert page.post("/backend/tts", files=FORM, headers={"Origin": own}).status_code == 200


def test_key_of_the_backend_never_reaches_the_browser(page):
    for path in ("/", "/config", "/page/page.js", "/backend/health"):
        answer = page.get(path)
        assert answer.status_code == 200 and "s3cret" not in answer.text + str(answer.headers)


def test_missing_backend_is_said_in_a_sentence():
    with served(FakeEngine()) as backend:
        pass
    with paged(backend) as url:
        answer = httpx.get(f"{url}/backend/ready", trust_env=False)
    assert answer.status_code == 502
    assert "Start the backend" in answer.json()["message"]
