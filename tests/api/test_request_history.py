"""`GET /requests` and the request log."""

import json
import logging

import pytest

from backend.errors import Busy, EngineFailure
from backend.monitor.log_format import FORMATTERS
from tests.support.served import asked_here


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def rows_of(http, **query):
    return http.get("/requests", params=query).json()["requests"]


def test_history_lists_speeches_newest_first_without_texts(http):
    http.post("/tts", json={"text": "secret words", "voice": "hum"}, headers={"X-Request-Id": "one"})
    http.post("/tts", json={"text": "x" * 50, "streaming": True}, headers={"X-Request-Id": "two"})
    http.engine.refusal = Busy("Full.", retry_after_s=1)
    http.post("/tts", json={"text": "x"}, headers={"X-Request-Id": "three"})
    http.engine.refusal, http.engine.fail_after_samples = None, 800
    http.engine.failure = EngineFailure("The lm thread failed.")
    http.post("/tts", json={"text": "words " * 4}, headers={"X-Request-Id": "four"})
    rows = rows_of(http)
    assert [(row["id"], row["status"]) for row in rows] == [
        ("four", "failed"), ("three", "refused"), ("two", "done"), ("one", "done"),
    ]  # fmt: skip
    one, two = rows[3], rows[2]
    assert (one["door"], one["voice"], one["n_chars"], one["finish"]) == ("/tts", "hum", 12, "stop")
    assert one["audio_s"] == pytest.approx(12 * 160 / 8000) and two["audio_s"] == pytest.approx(1.0)
    assert 0 < two["first_audio_s"] <= two["total_s"] < 5 and two["rtf"] == pytest.approx(two["total_s"], rel=0.01)
    assert "secret" not in json.dumps(rows)
    assert [row["id"] for row in rows_of(http, limit=1)] == ["four"]
    assert http.get("/requests", params={"limit": 0}).status_code == 400


def test_log_lines_carry_the_request_id(http, caplog):
    caplog.set_level(logging.DEBUG, "backend")
    http.engine.on_begin = lambda: logging.getLogger("backend.somewhere").info("in a thread")
    http.post("/tts", json={"text": "x"}, headers={"X-Request-Id": "abc-1"})
    for format, is_tagged in (("text", lambda line: "[abc-1]" in line), ("json", lambda line: '"abc-1"' in line)):
        # Formatted as they were logged: a handler sees the context of the request, this test does not.
        lines = http.lines[format]
        assert [line for line in lines if "in a thread" in line and is_tagged(line)], lines
        assert [line for line in lines if "/tts" in line and is_tagged(line)], lines


@pytest.fixture(autouse=True)
def lines(http):
    """The lines as the two formats write them."""
    http.lines = {name: [] for name in FORMATTERS}
    logger, handlers = logging.getLogger("backend"), []
    for name, formatter in FORMATTERS.items():
        handler = logging.Handler()
        shape = formatter()
        handler.emit = lambda record, name=name, shape=shape: http.lines[name].append(shape.format(record))
        logger.addHandler(handler)
        handlers.append(handler)
    yield
    for handler in handlers:
        logger.removeHandler(handler)


def test_json_lines_are_objects_with_fields(http, caplog):
    caplog.set_level(logging.INFO, "backend")
    http.post("/tts", json={"text": "x"}, headers={"X-Request-Id": "abc-2"})
    line = json.loads(http.lines["json"][-1])
    assert line["request_id"] == "abc-2" and line["level"] == "INFO" and line["time"].endswith("+00:00")
    assert (line["route"], line["method"], line["status"]) == ("/tts", "POST", 200) and line["duration_ms"] > 0


def test_error_responses_carry_the_request_id(http):
    for method, path in (("GET", "/nothing"), ("POST", "/tts"), ("DELETE", "/voices/none")):
        answer = http.request(method, path, headers={"X-Request-Id": "abc-3"})
        assert answer.status_code >= 400 and answer.headers["x-request-id"] == "abc-3"
