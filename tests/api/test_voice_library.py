"""Renaming, previewing and measuring voices, and the OpenAI-compatible voice API."""

import numpy as np
import pytest

from backend.api.routes.voices import PREVIEW_SEED, PREVIEW_TEXT
from backend.audio.files import read_audio
from backend.runtime.request import ReferenceClip
from tests.support.fake_engine import RATE_HZ, sound_of
from tests.support.served import asked_here

SAMPLE = {"audio_sample": ("ann.wav", b"RIFFx")}


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def test_renamed_voice_keeps_its_id(http):
    renamed = http.patch("/voices/hum", json={"name": "Bee"})
    assert renamed.status_code == 200 and (renamed.json()["id"], renamed.json()["name"]) == ("hum", "Bee")
    assert [voice["name"] for voice in http.get("/voices").json()["voices"]] == ["Bee"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nobody", {"name": "Bee"}, 404),
        ("..%2f..%2fetc", {"name": "Bee"}, 404),
        ("hum", {"name": "Hum"}, 409),
        ("hum", {"name": " "}, 400),
        ("hum", {"name": "x" * 256}, 400),
        ("hum", {}, 400),
        ("hum", {"name": "Bee", "color": 1}, 400),
    ],
)
def test_bad_renaming_changes_nothing(http, path, body, status):
    assert http.patch(f"/voices/{path}", json=body).status_code == status
    assert http.engine.stored["hum"].name == "Hum"


def test_renaming_takes_json_only(http):
    assert http.patch("/voices/hum", data={"name": "Bee"}).status_code == 415


def test_preview_is_the_same_sentence_every_time(http):
    first, again = (http.get("/voices/hum/preview") for _ in range(2))
    assert first.status_code == 200 and first.content == again.content
    asked = http.engine.asked[-1]
    assert (asked.voice, asked.text, asked.seed) == ("hum", PREVIEW_TEXT, PREVIEW_SEED) and asked.use_memory_cache
    np.testing.assert_allclose(read_audio(first.content).samples, sound_of(asked, PREVIEW_SEED), atol=1e-4)
    flac = http.get("/voices/hum/preview?format=flac")
    assert flac.headers["content-type"] == "audio/flac" and read_audio(flac.content).rate_hz == RATE_HZ
    assert http.get("/voices/nobody/preview").status_code == 404
    assert http.get("/voices/hum/preview?format=exe").status_code == 400


def test_similarity_is_the_engines_number(http):
    assert http.get("/voices/hum/similarity").json() == {"similarity": 0.875}
    assert http.get("/voices/nobody/similarity").status_code == 404
    assert http.get("/voices/hum/similarity?seed=-1").status_code == 400


def test_openai_clients_list_objects_with_id_and_name(http):
    assert http.get("/v1/audio/voices").json() == {"voices": [{"id": "hum", "name": "Hum"}]}


def test_openai_clients_add_a_voice_with_consent(http):
    added = http.post("/v1/audio/voices", data={"name": "Ann", "consent": "true"}, files=SAMPLE)
    assert added.status_code == 200, added.text
    assert added.json() == {"object": "audio.voice", "id": "Ann", "name": "Ann", "created_at": 1577934245}
    assert http.engine.added == [("Ann", ReferenceClip(b"RIFFx", ""), "", True)]
    assert http.post("/tts", json={"text": "x", "voice": "Ann"}).status_code == 200


@pytest.mark.parametrize(
    "change", [{"consent": ""}, {"consent": "cons_123"}, {"consent": "false"}, {"name": " "}, {"x": "y"}]
)
def test_openai_voice_without_consent_or_name_is_refused(http, change):
    form = {"name": "Ann", "consent": "true", **change}
    assert http.post("/v1/audio/voices", data=form, files=SAMPLE).status_code == 400
    assert http.engine.added == []


def test_openai_voice_without_a_sample_is_refused(http):
    for files in ({"audio_sample": b""}, {"audio": b"x"}):
        answer = http.post("/v1/audio/voices", data={"name": "Ann", "consent": "true"}, files=files)
        assert answer.status_code == 400
    assert http.engine.added == []
