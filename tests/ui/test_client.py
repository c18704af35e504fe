"""The client of the pages: typed responses, and a message for every failure."""

import pytest

from launcher.start import part_of
from tests.support.fake_backend import HEALTH, fake_backend
from ui.client import BackendClient, BackendError
from ui.health_table import duration_text, health_rows


def test_health_ignores_unknown_fields():
    with fake_backend() as (url, _):
        health = BackendClient(url).health()
    assert (health.version, health.torch_threads) == ("9.8.7", 3)


def test_api_key_is_sent():
    with fake_backend() as (url, requests):
        BackendClient(url, "s3cret").health()
        BackendClient(url).health()
    assert requests[0][1]["Authorization"] == "Bearer s3cret"
    assert "Authorization" not in requests[1][1]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, {"error": "BadSettings", "message": "DEVICE is 'x'."}, "returned 500: DEVICE is 'x'."),
        (401, {"detail": "No key."}, "returned 401: No key."),
        (400, {"error": {"message": "Bad voice.", "param": "voice"}}, "returned 400: Bad voice."),
        (200, b"<html>", "returned 200 without JSON"),
        (200, [1], "not an object"),
        (200, {"status": "ok"}, "not as Phonogram does"),
        (502, "down", "returned 502: down"),
    ],
)
def test_unexpected_response_becomes_an_error_message(status, body, message):
    with fake_backend(status, body) as (url, _), pytest.raises(BackendError, match=message.replace(".", r"\.")):
        BackendClient(url).health()


def test_models_are_listed_by_name():
    with fake_backend(body={"object": "list", "data": [{"id": "small"}, {"id": "tts-1"}]}) as (url, requests):
        assert BackendClient(url).models() == ["small", "tts-1"]
    assert requests[0][0] == "/v1/models"


def test_unreachable_backend_error_says_how_to_start_it():
    with fake_backend() as (url, _):
        pass
    with pytest.raises(BackendError, match=r"bash start\.sh start backend"):
        BackendClient(url).health()
    assert part_of(["backend"]) == "backend"  # the command in the message is valid


def test_proxy_of_the_environment_is_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with fake_backend() as (url, _):
        assert BackendClient(url).health().status == "ok"


def test_health_rows_show_every_field():
    with fake_backend() as (url, _):
        text = str(health_rows(BackendClient(url).health()))
    for name in ("version", "device", "device_name", "device_reason", "torch_version", "python_version"):
        assert HEALTH[name] in text
    assert "1 h 2 min" in text


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (86_461, "24 h 1 min")]
)
def test_duration_text(duration_s, text):
    assert duration_text(duration_s) == text
