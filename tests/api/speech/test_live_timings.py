"""Timestamps of a speech while it is generated, under an id that its client chose."""

import threading

import pytest

from backend.audio.files import read_audio
from tests.support.served import asked_here

TIMINGS_ID = "0123456789abcdef-mine"


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def test_words_are_known_before_the_speech_ends(http):
    http.engine.pause_after_samples = 800
    body = {"text": "one two three", "streaming": True, "format": "pcm"}
    speaking = threading.Thread(
        target=http.post, args=("/tts",), kwargs={"json": body, "headers": {"X-Timings-Id": TIMINGS_ID}}
    )
    speaking.start()
    assert http.engine.paused.wait(20)
    early = http.get(f"/tts/timings/{TIMINGS_ID}").json()
    http.engine.go_on.set()
    speaking.join(20)
    late = http.get(f"/tts/timings/{TIMINGS_ID}").json()
    assert (early["is_complete"], late["is_complete"]) == (False, True)
    assert [word["text"] for word in late["sentences"][0]["words"]] == ["one", "two", "three"]


def test_texts_are_not_found_without_the_id(http):
    http.post("/tts", json={"text": "secret"}, headers={"X-Request-Id": "visible-in-the-list-1"})
    assert http.get("/tts/timings/visible-in-the-list-1").status_code == 404
    answer = http.post("/tts", json={"text": "x"}, headers={"X-Timings-Id": "short"})
    assert answer.status_code == 400 and "expected 16 to 64" in answer.text


def test_only_the_latest_speeches_are_kept(http):
    for n in range(65):
        http.post("/tts", json={"text": "x"}, headers={"X-Timings-Id": f"a-long-enough-id-{n}"})
    assert http.get("/tts/timings/a-long-enough-id-0").status_code == 404
    assert http.get("/tts/timings/a-long-enough-id-64").status_code == 200


def test_audio_is_converted_with_its_length(http):
    wav = http.post("/tts", json={"text": "x" * 50}).content
    flac = http.post("/audio/convert?format=flac", files={"audio": wav})
    assert flac.headers["content-type"] == "audio/flac"
    assert (read_audio(flac.content).samples == read_audio(wav).samples).all()
    assert http.post("/audio/convert", files={"audio": b"no audio"}).status_code == 400
