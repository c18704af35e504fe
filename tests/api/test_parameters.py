"""Each documented parameter has an effect, is reported as ignored, or is rejected."""

import base64

import pytest

from backend.api.speech.request import form_schema, json_schema
from tests.support.served import asked_here

BASE = {"text": "Hello."}
SCHEMA = json_schema()

# A value for each parameter that is not its default.
OTHER = {
    "text": "Goodbye.",
    "voice": "hum",
    "reference_id": "hum",
    "references": [{"audio": base64.b64encode(b"RIFF").decode(), "text": "words"}],
    "fit_reference": True,
    "format": "flac",
    "streaming": True,
    "seed": 77,
    "temperature": 0.3,
    "top_p": 0.5,
    "top_k": 9,
    "min_p": 0.1,
    "repetition_penalty": 1.3,
    "max_new_tokens": 50,
    "chunk_length": 120,
    "normalize": False,
    "speed": 1.5,
    "pitch": 3.0,
    "markup": "ssml",
    "latency": "low",
    "loudness_lufs": -18.0,
    "timeout_s": 60.0,
    "use_memory_cache": "off",
}


@pytest.fixture(scope="module")
def http():
    with asked_here() as client:
        yield client


def effect(http, body):
    answer = http.post("/tts", json=body)
    assert answer.status_code == 200, answer.text
    kept = {name: value for name, value in answer.headers.items() if not name.endswith(("-ms", "-id"))}
    return http.engine.asked[-1], kept, answer.content


def test_every_parameter_is_tested():
    assert set(OTHER) == set(SCHEMA["properties"])


@pytest.mark.parametrize("name", SCHEMA["properties"])
def test_parameter_changes_the_call(http, name):
    assert effect(http, BASE) == effect(http, BASE), "the measure itself must be steady"
    assert effect(http, {**BASE, name: OTHER[name]}) != effect(http, BASE)


@pytest.mark.parametrize("name", SCHEMA["properties"])
def test_documented_default_equals_omitting_the_field(http, name):
    declared = SCHEMA["properties"][name]
    if "default" in declared:
        assert effect(http, {**BASE, name: declared["default"]}) == effect(http, BASE)
    else:
        assert name in SCHEMA["required"]


def bounds():
    for name, declared in SCHEMA["properties"].items():
        for option in declared.get("anyOf", [declared]):
            step = 1 if option.get("type") == "integer" else 0.001
            if "minimum" in option:
                yield name, option["minimum"], option["minimum"] - step
            if "maximum" in option:
                yield name, option["maximum"], option["maximum"] + step


@pytest.mark.parametrize(("name", "inside", "outside"), bounds())
def test_bound_holds(http, name, inside, outside):
    assert http.post("/tts", json={**BASE, name: inside}).status_code == 200
    refused = http.post("/tts", json={**BASE, name: outside})
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(f"{name} is ")


def test_all_numbers_are_bounded():
    n_numbers = sum(
        option.get("type") in ("integer", "number")
        for declared in SCHEMA["properties"].values()
        for option in declared.get("anyOf", [declared])
    )
    assert len(list(bounds())) == 2 * n_numbers >= 18


@pytest.mark.parametrize("name", ["format", "markup", "latency", "use_memory_cache", "streaming", "normalize"])
def test_choice_that_does_not_exist_is_refused(http, name):
    refused = http.post("/tts", json={**BASE, name: "neither"})
    assert refused.status_code == 400 and name in refused.json()["message"]


def test_all_unknown_fields_are_named(http):
    n_asked = len(http.engine.asked)
    for kind in (
        {"json": {**BASE, "tempreture": 1, "zzz": 2}},
        {"data": {**BASE, "tempreture": 1}, "files": {"zzz": b"x"}},
    ):
        refused = http.post("/tts", **kind)
        assert refused.status_code == 400
        assert "zzz" in refused.json()["message"]
    refused = http.post("/tts", json={**BASE, "tempreture": 1, "zzz": 2}).json()["message"]
    assert "'tempreture' (did you mean temperature?)" in refused and "'zzz'" in refused
    assert len(http.engine.asked) == n_asked


def test_fields_that_contradict_each_other_are_refused(http):
    for body in (
        {"voice": "hum", "reference_id": "other"},
        {"voice": "hum", "references": OTHER["references"]},
    ):
        assert http.post("/tts", json={**BASE, **body}).status_code == 400


def test_form_takes_every_parameter_of_the_json_body(http):
    assert set(form_schema()["properties"]) - {"reference_audio", "reference_text"} == set(OTHER) - {"references"}
    scalars = {name: value for name, value in OTHER.items() if name != "references"}
    http.post("/tts", json=scalars)
    sent = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in scalars.items()}
    answer = http.post("/tts", data=sent, files={"reference_audio": b""})
    assert answer.status_code == 200, answer.text
    assert http.engine.asked[-1] == http.engine.asked[-2]
    assert answer.headers["content-type"] == "audio/flac"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b'{"text": 1}', b'{"text": NaN}', b'{"text": "\\ud800"}', b"\xff\xfe", b"[" * 9999],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_invalid_body_is_rejected(http, body):
    answer = http.post("/tts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"] == "BadRequest"


def test_text_in_place_of_a_file_and_the_other_way_round_are_refused(http):
    for kind in ({"data": {"text": "x", "reference_audio": "abc"}, "files": {"q": b""}}, {"files": {"text": b"hello"}}):
        assert http.post("/tts", **kind).status_code == 400


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/msgpack"])
def test_other_kinds_of_body_are_415(http, kind):
    answer = http.post("/tts", content=b"text=x", headers={"Content-Type": kind})
    assert answer.status_code == 415 and "application/json" in answer.json()["message"]
