"""Errors under `/v1` have OpenAI's format; errors elsewhere have the native one."""

import pytest

from backend.errors import EngineFailure, NotAvailable, PhonogramError
from tests.support.served import asked_here

ASK = {"model": "tts-1", "voice": "hum", "input": "Hello, world."}


@pytest.fixture(scope="module")
def http():
    with asked_here(max_text_chars=20, max_upload_mb=1) as client:
        yield client


def speech(http, **changes):
    return http.post("/v1/audio/speech", json={**ASK, **changes})


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda http: http.get("/v1/nothing"), 404, "not_found"),
        (lambda http: http.get("/v1/audio/speech"), 405, "method_not_allowed"),
        (lambda http: http.post("/v1/audio/speech", data={"a": "b"}), 415, "unsupported_media_type"),
        (lambda http: http.post("/v1/audio/speech", json=[]), 400, "invalid_value"),
        (lambda http: http.post("/v1/audio/speech", content=b"{", headers={"Content-Type": "application/json"}), 400, "invalid_json"),
        (lambda http: speech(http, input="x" * 21), 400, "string_above_max_length"),
        (lambda http: speech(http, voice="v" * 2_000_000), 413, "limit_exceeded"),
        (lambda http: http.post("/v1/audio/speech", json=ASK, headers={"Origin": "http://evil.test"}), 403, "forbidden"),
        (lambda http: http.get("/v1/models/gpt-9"), 404, "model_not_found"),
    ],
)  # fmt: skip
def test_errors_under_v1_have_openai_format(http, ask, status, code):
    answer = ask(http)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"} and set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, "invalid_request_error") and len(error["message"]) > 20


def test_api_key_is_checked_first():
    with asked_here(api_key="s3cret") as http:
        answer = http.get("/v1/models")
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("refusal", "status"), [(EngineFailure("It failed."), 500), (NotAvailable("No weights."), 503), (ValueError(), 500)]
)
def test_server_failures_are_server_errors(http, refusal, status):
    http.engine.refusal = refusal
    answer = speech(http)
    http.engine.refusal = None
    assert answer.status_code == status and answer.json()["error"]["type"] == "server_error"
    assert answer.headers["x-request-id"]
    assert (answer.headers.get("x-should-retry") == "false") == (status == 500)
    if isinstance(refusal, PhonogramError):
        assert answer.json()["error"]["message"] == str(refusal)


def test_other_routes_keep_the_native_error_format(http):
    for answer in (http.get("/nothing"), http.post("/tts", json={"text": "x", "voice": "nobody"})):
        assert isinstance(answer.json()["error"], str) and answer.json()["message"]


def test_openapi_documents_openai_errors(http):
    document = http.get("/openapi.json").json()
    speech = document["paths"]["/v1/audio/speech"]["post"]
    for status in ("400", "401", "404", "429", "500"):
        schema = speech["responses"][status]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/OpenAIErrorBody"), status
    for path in ("/tts", "/v1/tts", "/v1/text-to-speech/{voice_id}"):
        schema = document["paths"][path]["post"]["responses"]["400"]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/ErrorBody"), path
    assert document["components"]["schemas"]["OpenAIErrorBody"]["properties"]["error"]
    asked = speech["requestBody"]["content"]["application/json"]["schema"]
    assert asked["additionalProperties"] is False and set(asked["required"]) == {
        "input"
    }  # a missing voice or model is the default
    assert asked["properties"]["response_format"]["enum"] == ["mp3", "opus", "aac", "flac", "wav", "pcm"]
    assert {"seed", "temperature"} <= set(asked["properties"]) and "text" not in asked["properties"]
