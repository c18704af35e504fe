"""`POST /tts/timed`: audio with timestamps, and subtitles."""

import base64

import pytest

from tests.support.served import asked_here

TEXT = "Hello there, A & B"


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def test_timed_response_has_audio_and_timestamps(http):
    plain = http.post("/tts", json={"text": TEXT, "seed": 4})
    answer = http.post("/tts/timed", json={"text": TEXT, "seed": 4})
    body = answer.json()
    assert base64.b64decode(body["audio"]) == plain.content
    assert (body["format"], body["sample_rate"], body["seed"], body["finish_reason"]) == ("wav", 8000, 4, "stop")
    (sentence,) = body["sentences"]
    assert [word["text"] for word in sentence["words"]] == TEXT.split() and body["has_words"]
    assert sentence["end_s"] == body["duration_s"] == sentence["words"][-1]["end_s"]
    assert answer.headers["x-seed"] == "4" and answer.headers["x-audio-seconds"]


def test_checkpoint_without_word_timestamps_reports_it(http):
    http.engine.has_words = False
    body = http.post("/tts/timed", json={"text": TEXT}).json()
    assert body["has_words"] is False and body["sentences"][0]["words"] == []
    assert body["sentences"][0]["end_s"] == body["duration_s"]


def test_subtitles_have_a_cue_a_sentence(http):
    srt = http.post("/tts/timed?output=srt", json={"text": TEXT})
    assert srt.headers["content-type"].startswith("application/x-subrip")
    assert srt.text == "1\n00:00:00,000 --> 00:00:00,360\nHello there, A & B\n"
    vtt = http.post("/tts/timed?output=vtt", json={"text": TEXT})
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.text == "WEBVTT\n\n00:00:00.000 --> 00:00:00.360\nHello there, A &amp; B\n"


def test_streaming_and_unknown_outputs_are_refused(http):
    assert http.post("/tts/timed", json={"text": "x", "streaming": True}).status_code == 400
    assert http.post("/tts/timed?output=ass", json={"text": "x"}).status_code == 400
    assert http.engine.asked == []
