"""A null optional field counts as omitted, in every JSON body that the OpenAPI document describes."""

import pytest

from backend.api.jobs.schemas import NewJobBody
from backend.api.request_parsing import parse
from tests.support.served import asked_here

# Bodies that are valid without further fields; a route that is missing here fails the test.
BODIES = {
    ("post", "/tts"): {"text": "Hello."},
    ("post", "/tts/timed"): {"text": "Hello."},
    ("post", "/v1/tts"): {"text": "Hello."},
    ("post", "/v1/audio/speech"): {"input": "Hello."},
    ("post", "/v1/text-to-speech/{voice_id}"): {"text": "Hello."},
    ("post", "/v1/text-to-speech/{voice_id}/stream"): {"text": "Hello."},
    ("post", "/jobs"): {"text": "Hello."},
}


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    with asked_here(data_dir=str(tmp_path_factory.mktemp("data"))) as client:
        yield client


def json_bodies(http):
    """Method, path, optional field names of every route with a JSON body."""
    document = http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            content = route.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                schema = content["schema"]
                schema = (
                    document["components"]["schemas"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
                )
                yield method, path, set(schema.get("properties", {})) - set(schema.get("required", []))


def test_null_is_an_omitted_field_in_every_body(http):
    n_fields = 0
    for method, path, optional in json_bodies(http):
        valid = BODIES.get((method, path))
        for name in sorted(optional - set(valid or {})):
            body = {**(valid or {}), name: None}
            answer = http.request(method, path.replace("{voice_id}", "hum"), json=body)
            # Bodies of other routes lack a required field, so only the null itself must not be the reason.
            assert name not in answer.text or answer.status_code < 400 or valid is None, (path, name, answer.text)
            if valid is not None:
                assert answer.status_code < 400, (path, name, answer.text)
                n_fields += 1
    assert n_fields > 100


def test_null_in_nested_objects_is_an_omitted_field(http):
    body = {"text": "Hello.", "prosody": {"speed": None, "volume": None}, "references": None}
    assert http.post("/v1/tts", json=body).status_code == 200
    assert http.post("/v1/tts", json={"text": None}).status_code == 400


def test_null_keeps_its_own_meaning_where_it_has_one():
    assert parse(NewJobBody, {"text": "Hello.", "loudness_lufs": None}).loudness_lufs is None
    assert parse(NewJobBody, {"text": "Hello."}).loudness_lufs is not None
