"""ALLOWED_ORIGINS, WebSockets at unknown paths and the TLS settings."""

import pytest
from pydantic import ValidationError
from starlette.testclient import WebSocketDenialResponse

from backend.settings import Settings
from tests.support.served import asked_here

PAGE = "https://app.example.com"
EXTENSION = "chrome-extension://abcdefghijklmnop"


@pytest.fixture(scope="module")
def http():
    with asked_here(allowed_origins=f"{PAGE}, {EXTENSION}", api_key="s3cret-s3cret-s3cret") as client:
        yield client


@pytest.mark.parametrize("origin", [PAGE, EXTENSION])
def test_listed_origin_may_speak_with_a_key(http, origin):
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "authorization,content-type,x-stainless-lang"
    asked = http.options("/v1/audio/speech", headers=preflight)
    assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == origin
    headers = {"Origin": origin, "Authorization": "Bearer s3cret-s3cret-s3cret"}
    spoken = http.post("/v1/audio/speech", json={"input": "Hello."}, headers=headers)
    assert spoken.status_code == 200 and spoken.headers["access-control-allow-origin"] == origin
    # The origin alone is no permission.
    assert http.post("/v1/audio/speech", json={"input": "Hello."}, headers={"Origin": origin}).status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", f"{PAGE}:444", "null"])
def test_other_origins_are_rejected_and_the_error_names_the_setting(http, origin):
    headers = {"Origin": origin, "Authorization": "Bearer s3cret-s3cret-s3cret"}
    refused = http.post("/v1/audio/speech", json={"input": "Hello."}, headers=headers)
    assert refused.status_code == 403 and "ALLOWED_ORIGINS" in refused.json()["error"]["message"]
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    "listed", ["*", "null", "https://*.example.com", "app.example.com", f"{PAGE}/path", f"{PAGE},*"]
)
def test_only_exact_origins_can_be_listed(listed):
    with pytest.raises(ValidationError, match="not an exact origin"):
        Settings(allowed_origins=listed)


def test_unknown_socket_is_a_404_with_a_message():
    with asked_here() as http, pytest.raises(WebSocketDenialResponse) as denied:
        with http.websocket_connect("/v1/no/such/socket"):
            pass
    assert denied.value.status_code == 404 and "/v1/no/such/socket" in denied.value.json()["message"]


def test_unknown_socket_still_needs_the_key():
    with asked_here(api_key="s3cret-s3cret-s3cret") as http, pytest.raises(WebSocketDenialResponse) as denied:
        with http.websocket_connect("/v1/no/such/socket"):
            pass
    assert denied.value.status_code == 401


@pytest.mark.parametrize("name", ["host.docker.internal", "host.containers.internal", "phonogram"])
def test_container_host_names_are_accepted(http, name):
    assert http.get("/health", headers={"Host": f"{name}:8000"}).status_code == 200


def test_other_internal_names_are_rejected(http):
    assert http.get("/health", headers={"Host": "evil.docker.internal"}).status_code == 403
