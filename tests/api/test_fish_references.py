"""`/v1/references` and `/v1/vqgan`: msgpack by default, and no voice without consent."""

import base64

import msgpack
import numpy as np
import pytest

from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.runtime.request import ReferenceClip
from tests.support.fake_engine import FakeEngine
from tests.support.served import asked_here

SOUND = encode_audio(Waveform.of(0.7 * np.sin(np.arange(8000) / 5).astype(np.float32), 8000), "wav")
FORM = {"id": "Ann", "text": "some words", "consent": "true"}
PACKED = {"Content-Type": "application/msgpack"}
AS_JSON = {"Accept": "application/json"}


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def unpacked(answer):
    assert answer.headers["content-type"] == "application/msgpack"
    return msgpack.unpackb(answer.content)


def test_reference_is_added_listed_spoken_renamed_and_removed(http):
    added = http.post("/v1/references/add", data=FORM, files={"audio": ("a.wav", SOUND)})
    assert added.status_code == 200 and unpacked(added)["reference_id"] == "Ann"
    assert http.engine.added == [("Ann", ReferenceClip(SOUND, "some words"), "some words", True)]
    listed = unpacked(http.get("/v1/references/list"))
    assert listed == {"success": True, "reference_ids": ["Hum", "Ann"], "message": "Success"}
    assert http.post("/v1/tts", json={"text": "x", "reference_id": "Ann"}).status_code == 200
    change = {"old_reference_id": "Ann", "new_reference_id": "Bea"}
    renamed = http.post("/v1/references/update", headers={**PACKED, **AS_JSON}, content=msgpack.packb(change))
    assert renamed.json()["new_reference_id"] == "Bea" and renamed.json()["success"]
    removed = http.request("DELETE", "/v1/references/delete?format=json", json={"reference_id": "Ann"})
    assert removed.json() == {"success": True, "message": "Removed the voice.", "reference_id": "Ann"}
    assert http.get("/v1/references/list", headers=AS_JSON).json()["reference_ids"] == ["Hum"]


@pytest.mark.parametrize(
    ("change", "status"), [({"consent": "false"}, 400), ({"consent": ""}, 400), ({"text": ""}, 400), ({"id": " "}, 400)]
)
def test_reference_without_consent_name_or_transcript_is_rejected(http, change, status):
    refused = http.post("/v1/references/add", data={**FORM, **change}, files={"audio": SOUND})
    assert refused.status_code == status and refused.json()["statusCode"] == status
    assert http.engine.added == []


def test_consent_may_be_a_query_parameter(http):
    form = {name: FORM[name] for name in ("id", "text")}
    assert http.post("/v1/references/add", data=form, files={"audio": SOUND}).status_code == 400
    assert http.post("/v1/references/add?consent=true", data=form, files={"audio": SOUND}).status_code == 200
    assert http.post("/v1/references/add", data=FORM, files={"audio": SOUND}).status_code == 409


def test_unknown_and_existing_references_have_different_errors(http):
    for call in (
        http.request("DELETE", "/v1/references/delete", json={"reference_id": "nobody"}),
        http.post("/v1/references/update", json={"old_reference_id": "nobody", "new_reference_id": "Bea"}),
    ):
        assert call.status_code == 404 and call.json()["statusCode"] == 404
    taken = {"old_reference_id": "hum", "new_reference_id": "Hum"}
    assert http.post("/v1/references/update", json=taken).status_code == 409


def test_sound_becomes_codes_and_codes_become_sound(http):
    sent = {"audios": [SOUND, SOUND]}
    coded = http.post("/v1/vqgan/encode", headers=PACKED, content=msgpack.packb(sent))
    tokens = unpacked(coded)["tokens"]
    assert np.array(tokens).shape == (2, 2, 50)
    same = http.post("/v1/vqgan/encode", json={"audios": [base64.b64encode(SOUND).decode()]}, headers=AS_JSON)
    assert same.json()["tokens"] == tokens[:1]
    heard = unpacked(http.post("/v1/vqgan/decode", headers=PACKED, content=msgpack.packb({"tokens": tokens})))["audios"]
    samples = np.frombuffer(heard[0], "<f2")
    assert len(heard) == 2 and samples.shape == (8000,) and samples.max() == pytest.approx(11 / 16, abs=1e-3)


@pytest.mark.parametrize(
    "tokens",
    [[], [[]], [[[]], [[1, 2], [3]]], [[[1], [2, 3]]], [[[-1]]], [[[2**40]]], [[["x"]]], [[1]], 5, None],
    ids=str,
)
def test_invalid_codes_are_rejected(http, tokens):
    answer = http.post("/v1/vqgan/decode", headers=PACKED, content=msgpack.packb({"tokens": tokens}))
    assert answer.status_code == 400, answer.text


def test_invalid_audio_is_rejected(http):
    for audios in ([], [b""], [b"RIFF"], ["text"], [SOUND, b"x"]):
        answer = http.post("/v1/vqgan/encode", headers=PACKED, content=msgpack.packb({"audios": audios}))
        assert answer.status_code == 400, audios


def test_total_audio_duration_is_limited():
    with asked_here(FakeEngine(), max_audio_s=1.5) as http:
        once, twice = (
            http.post("/v1/vqgan/encode", headers=PACKED, content=msgpack.packb({"audios": [SOUND] * n}))
            for n in (1, 2)
        )
        assert (once.status_code, twice.status_code) == (200, 413)
