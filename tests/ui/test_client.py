"""The pages' client: typed answers, and one sentence for everything that can go wrong."""

import pytest

from launcher.start import part_of
from tests.support.fake_backend import HEALTH, fake_backend
from ui.client import BackendClient, BackendError
from ui.health_table import health_rows, uptime_text


def test_health_is_read_and_later_fields_are_ignored():
    with fake_backend() as (url, _):
        health = BackendClient(url).health()
    assert (health.version, health.torch_threads) == ("9.8.7", 3)


def test_key_goes_along():
    with fake_backend() as (url, asked):
        BackendClient(url, "s3cret").health()
        BackendClient(url).health()
    assert asked[0][1]["Authorization"] == "Bearer s3cret"
    assert "Authorization" not in asked[1][1]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (500, {"error": "BadSettings", "message": "DEVICE is 'x'."}, "answered 500: DEVICE is 'x'."),
        (401, {"detail": "No key."}, "answered 401: No key."),
        (400, {"error": {"message": "Bad voice.", "param": "voice"}}, "answered 400: Bad voice."),
        (200, b"<html>", "answered 200 without JSON"),
        (200, [1], "not an object"),
        (200, {"status": "ok"}, "not as Phonogram does"),
        (502, "down", "answered 502: down"),
    ],
)
def test_strange_answer_becomes_one_sentence(status, body, sentence):
    with fake_backend(status, body) as (url, _), pytest.raises(BackendError, match=sentence.replace(".", r"\.")):
        BackendClient(url).health()


def test_models_are_listed_by_name():
    with fake_backend(body={"object": "list", "data": [{"id": "small"}, {"id": "tts-1"}]}) as (url, asked):
        assert BackendClient(url).models() == ["small", "tts-1"]
    assert asked[0][0] == "/v1/models"


def test_missing_backend_says_how_to_start_it():
    with fake_backend() as (url, _):
        pass
    with pytest.raises(BackendError, match=r"bash start\.sh start backend"):
        BackendClient(url).health()
    assert part_of(["backend"]) == "backend"  # so that what is told can be typed


def test_proxy_of_the_environment_is_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with fake_backend() as (url, _):
        assert BackendClient(url).health().status == "ok"


def test_rows_show_every_fact():
    with fake_backend() as (url, _):
        text = str(health_rows(BackendClient(url).health()))
    for name in ("version", "device", "device_name", "device_reason", "torch_version", "python_version"):
        assert HEALTH[name] in text
    assert "1 h 2 min" in text


@pytest.mark.parametrize(
    ("uptime_s", "text"), [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (86_461, "24 h 1 min")]
)
def test_uptime_reads_like_speech(uptime_s, text):
    assert uptime_text(uptime_s) == text
