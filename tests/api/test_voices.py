"""`/voices` and the smaller routes."""

import pytest

from backend.runtime.request import ReferenceClip
from tests.support.served import asked_here

GOOD = {"name": "Ann", "text": "some words", "consent": "true"}


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def test_voices_are_objects_with_id_and_name(http):
    (voice,) = http.get("/voices").json()["voices"]
    assert (voice["id"], voice["name"], voice["is_builtin"]) == ("hum", "Hum", False)


def test_added_voice_can_be_listed_used_and_removed(http):
    added = http.post("/voices", data=GOOD, files={"audio": ("a.wav", b"RIFFx")})
    assert added.status_code == 201
    assert http.engine.added == [("Ann", ReferenceClip(b"RIFFx", "some words"), "some words", True)]
    voice_id = added.json()["id"]
    assert voice_id in [voice["id"] for voice in http.get("/voices").json()["voices"]]
    assert http.post("/tts", json={"text": "x", "voice": voice_id}).status_code == 200
    assert http.post("/voices", data=GOOD, files={"audio": b"x"}).status_code == 409
    gone = http.delete(f"/voices/{voice_id}")
    assert gone.status_code == 204 and gone.content == b""
    assert http.delete(f"/voices/{voice_id}").status_code == 404
    assert http.post("/tts", json={"text": "x", "voice": voice_id}).status_code == 404


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"consent": "false"}, "consent"),
        ({"consent": ""}, "consent"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"colour": "blue"}, "Unknown field 'colour'"),
    ],
)
def test_voice_without_consent_or_name_is_refused(http, change, finding):
    refused = http.post("/voices", data={**GOOD, **change}, files={"audio": b"x"})
    assert refused.status_code == 400 and finding in refused.json()["message"]
    assert http.engine.added == []


@pytest.mark.parametrize("files", [{"audio": b""}, {"sound": b"x"}])
def test_voice_without_a_recording_is_refused(http, files):
    assert http.post("/voices", data=GOOD, files=files).status_code == 400
    assert http.engine.added == []


@pytest.mark.parametrize("voice_id", ["..%2f..%2fetc", "C:%5Cx", "%00", "x" * 300, "NUL", "a%0a"])
def test_voice_id_that_is_a_path_is_unknown(http, voice_id):
    assert http.delete(f"/voices/{voice_id}").status_code in (400, 404)


def test_emotions_and_caches(http):
    assert http.get("/emotions").json() == {"family": "fake", "era": "fake", "groups": {"basic": ["happy", "sad"]}}
    assert http.post("/cache/clear").json() == {"cleared": {"references": 2}}


def test_valid_request_id_of_the_client_is_returned(http):
    assert http.get("/health", headers={"X-Request-Id": "abc.1-2_3"}).headers["x-request-id"] == "abc.1-2_3"
    for strange in ("a b", "x" * 65, "ä".encode()):
        given = http.get("/health", headers={"X-Request-Id": strange}).headers["x-request-id"]
        assert len(given) == 16


def test_cross_origin_forms_are_rejected(http):
    for origin in ("http://evil.example", "null"):
        refused = http.post("/cache/clear", headers={"Origin": origin})
        assert refused.status_code == 403 and refused.json()["error"] == "Forbidden"
    for origin in ("http://localhost:7860", "http://testserver"):
        assert http.post("/cache/clear", headers={"Origin": origin}).status_code == 200
    assert http.get("/voices", headers={"Origin": "http://evil.example"}).status_code == 200


def test_every_route_except_health_checks_needs_the_key():
    with asked_here(api_key="s3cret") as http:
        for path, methods in http.get("/openapi.json").json()["paths"].items():
            for method in methods:
                status = http.request(method, path).status_code
                assert (status != 401) if path in ("/health", "/ready") else (status == 401), path


def test_public_readiness_hides_the_engine_status():
    with asked_here(api_key="s3cret") as http:
        assert http.get("/ready").json() == {
            "ready": True, "loading": False, "message": "Ready to speak.", "max_text_chars": 5000, "engine": None,
        }  # fmt: skip


def test_long_text_and_large_bodies_are_refused():
    with asked_here(max_text_chars=10, max_upload_mb=1) as http:
        assert http.post("/tts", json={"text": "x" * 10}).status_code == 200
        long = http.post("/tts", json={"text": "x" * 11})
        assert long.status_code == 413 and "MAX_TEXT_CHARS" in long.json()["message"]
        big = [
            http.post("/tts", json={"text": "x" * 2**20}),
            http.post("/voices", data=GOOD, files={"audio": b"x" * 2**20}),
            http.post("/tts", data={"text": "x"}, files={"reference_audio": b"x" * 2**20}),
        ]
        assert {answer.status_code for answer in big} == {413}
        assert http.engine.added == [] and len(http.engine.asked) == 1
