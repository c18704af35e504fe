"""`/v1/audio/music`: pieces over HTTP and WebSocket, their facts, and what is refused."""

import io
import json
import zipfile

import mido
import numpy as np
import pytest
import soundfile

from backend.api.music import run as music_run
from backend.pipeline.music.engine import MusicRequest
from backend.pipeline.music.score_engine import ScoreEngine
from tests.support.served import asked_here, within

PROMPT = {"prompt": "Calm piano in A minor, 72 bpm, with theremin", "duration_s": 5, "seed": 3}
SOCKET = "/v1/audio/music/stream"


@pytest.fixture(scope="module")
def http():
    pytest.importorskip("midirenderer")
    with asked_here() as client:
        yield client


@pytest.fixture(scope="module")
def offline():
    pytest.importorskip("midirenderer")
    return ScoreEngine().generate(MusicRequest(PROMPT["prompt"], 5.0, 3, has_stems=True))


def pcm_of(samples: np.ndarray) -> bytes:
    from backend.audio.pcm import to_int16

    return to_int16(samples).T.astype("<i2").tobytes()


def test_options_name_what_a_prompt_can(http):
    found = http.get("/v1/audio/music").json()
    assert found["engines"][0] == {"name": "score", "is_default": True}
    assert {"jazz", "rock"} <= set(found["genres"]) and "saxophone" in found["instruments"]
    assert "6/8" in found["meters"] and "calm" in found["moods"]


def test_a_piece_with_its_facts(http):
    response = http.post("/v1/audio/music", json=PROMPT)
    assert response.status_code == 200, response.text
    samples, rate_hz = soundfile.read(io.BytesIO(response.content))
    assert (rate_hz, samples.shape) == (44_100, (220_500, 2)) and np.abs(samples).max() > 0.05
    labels = json.loads(response.headers["x-music-labels"])
    assert (labels["key"], labels["tempo_bpm"]) == ("A minor", 72)
    assert response.headers["x-not-understood"] == "theremin"
    assert response.headers["content-disposition"] == 'inline; filename="music.wav"'


def test_null_is_a_field_left_out(http):
    body = {**PROMPT, "format": "pcm"}
    nulls = dict.fromkeys(("tempo_bpm", "key", "meter", "engine", "loudness_lufs", "stream"))
    assert (
        http.post("/v1/audio/music", json={**body, **nulls}).content == http.post("/v1/audio/music", json=body).content
    )


@pytest.mark.parametrize("is_streamed", [False, True])
def test_streamed_whole_and_offline_samples_are_equal(http, offline, is_streamed):
    response = http.post("/v1/audio/music", json={**PROMPT, "format": "pcm", "stream": is_streamed})
    assert response.content == pcm_of(offline.mix.samples)


def test_streamed_files_say_their_length(http):
    response = http.post("/v1/audio/music", json={**PROMPT, "format": "flac", "stream": True})
    assert soundfile.info(io.BytesIO(response.content)).frames == 220_500


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "ogg"])
def test_lossy_formats(http, format):
    content = http.post("/v1/audio/music", json={**PROMPT, "duration_s": 4, "format": format}).content
    assert 8_000 < len(content) < 300_000


def test_stems_add_up_to_the_mix(http):
    response = http.post("/v1/audio/music/stems", json=PROMPT)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        names = archive.namelist()
        sounds = {n: soundfile.read(io.BytesIO(archive.read(n)))[0] for n in names if n.endswith(".wav")}
        assert mido.MidiFile(file=io.BytesIO(archive.read("score.mid"))).length > 4
        assert json.loads(archive.read("labels.json"))["key"] == "A minor"
    mix = sounds.pop("mix.wav")
    assert sounds and np.abs(sum(sounds.values()) - mix).max() < 1e-3


def test_midi_and_notes_agree(http):
    response = http.post("/v1/audio/music/midi", json=PROMPT)
    assert response.headers["content-type"] == "audio/midi"
    notes = [m for t in mido.MidiFile(file=io.BytesIO(response.content)).tracks for m in t if m.type == "note_on"]
    score = http.post("/v1/audio/music/score", json=PROMPT).json()
    assert sum(len(part["notes"]) for part in score["parts"]) == sum(m.velocity > 0 for m in notes)
    assert score["labels"]["tempo_bpm"] == 72 and score["not_understood"] == ["theremin"]
    assert all(note["start_s"] >= 0 and note["duration_s"] > 0 for part in score["parts"] for note in part["notes"])


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"prompt": " "}, 400, "prompt"),
        ({"tempo_bpm": 500}, 400, "180"),
        ({"key": "H minor"}, 400, "key"),
        ({"meter": "9/16"}, 400, "meter"),
        ({"engine": "piano"}, 400, "auto"),
        ({"tempo": 90}, 400, "not permitted"),
        ({"duration_s": 900}, 413, "stream"),
        ({"format": "ogg", "stream": True}, 400, "cannot be streamed"),
        ({"seed": -1}, 400, "seed"),
    ],
)
def test_what_cannot_be_made_is_refused(http, change, status, said):
    response = http.post("/v1/audio/music", json={**PROMPT, **change})
    assert response.status_code == status and said in response.text, response.text


def test_no_more_pieces_than_there_are_threads(http, monkeypatch):
    monkeypatch.setattr(music_run, "MAX_PIECES", 0)
    response = http.post("/v1/audio/music", json=PROMPT)
    assert response.status_code == 429 and response.headers["retry-after"]
    assert http.metrics.music.labels("refused")._value.get() >= 1


def messages_until(socket, kind):
    sound, found = b"", []
    while not found or found[-1]["type"] != kind:
        message = socket.receive()
        if message.get("bytes"):
            sound += message["bytes"]
        else:
            found.append(json.loads(message["text"]))
            assert found[-1]["type"] != "error", found[-1]
    return sound, found


def test_the_socket_plays_the_same_samples(http, offline):
    with http.websocket_connect(SOCKET) as socket:
        socket.send_json({"type": "start", **PROMPT, "ahead_s": 60})
        sound, found = messages_until(socket, "done")
        assert found[0]["labels"]["key"] == "A minor" and found[0]["at_s"] == 0
        assert found[-1]["audio_s"] == pytest.approx(5.0)
        assert sound == pcm_of(offline.mix.samples)
        socket.send_json({"type": "end"})
    within(5, lambda: http.app.state.music.n_open == 0)


def test_a_change_of_the_prompt_fades_into_another_piece(http):
    with http.websocket_connect(SOCKET) as socket:
        socket.send_json({"type": "start", **PROMPT, "duration_s": 60, "ahead_s": 1.0})
        messages_until(socket, "piece")
        socket.send_json({"type": "prompt", "prompt": "Fast rock in E minor", "duration_s": 4})
        socket.send_json({"type": "buffer", "seconds": 0})
        sound, found = messages_until(socket, "piece")
        switched_s = found[-1]["at_s"]
        assert found[-1]["labels"]["genre"] == "rock" and switched_s < 20
        rest, found = messages_until_reporting(socket)
        assert found[-1]["audio_s"] == pytest.approx(switched_s + 4.0, abs=0.01)
        assert len(sound) + len(rest) == pytest.approx(found[-1]["audio_s"] * 44_100 * 4, abs=44_100 * 4)
        socket.send_json({"type": "end"})


def messages_until_reporting(socket):
    """Like `messages_until` "done", for a client that says it has played everything."""
    sound, found = b"", []
    while not found or found[-1]["type"] != "done":
        socket.send_json({"type": "buffer", "seconds": 0})
        message = socket.receive()
        if message.get("bytes"):
            sound += message["bytes"]
        else:
            found.append(json.loads(message["text"]))
    return sound, found


def test_endless_music_goes_on_until_it_is_cancelled(http):
    with http.websocket_connect(SOCKET) as socket:
        socket.send_json({"type": "start", **PROMPT, "duration_s": 4, "endless": True, "ahead_s": 60})
        messages_until(socket, "piece")
        _, found = messages_until(socket, "piece")
        assert found[-1]["seed"] == 4 and found[-1]["at_s"] == pytest.approx(4.0)
        socket.send_json({"type": "cancel"})
        messages_until(socket, "cancelled")
        assert http.app.state.music.n_open == 0
        socket.send_json({"type": "end"})


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "start"}, "prompt is missing"),
        ({"type": "play"}, "expected one of start"),
        ({"type": "prompt", "prompt": "jazz"}, "Nothing is playing"),
        ({"type": "start", "prompt": "jazz", "ahead": 3}, "Unknown field 'ahead'"),
        ([1], "expected one of start"),
    ],
)
def test_wrong_messages_close_the_socket_with_a_reason(http, message, said):
    with http.websocket_connect(SOCKET) as socket:
        socket.send_json(message)
        answer = socket.receive_json()
        assert answer["type"] == "error" and said in answer["message"]
        assert socket.receive()["code"] == 1003


def test_a_piece_that_cannot_be_made_is_reported_and_the_session_goes_on(http):
    with http.websocket_connect(SOCKET) as socket:
        socket.send_json({"type": "start", "prompt": "jazz", "key": "H"})
        assert socket.receive_json()["error"] == "BadRequest"
        socket.send_json({"type": "start", "prompt": "jazz", "duration_s": 4})
        assert socket.receive_json()["type"] == "piece"
        socket.send_json({"type": "end"})
    within(5, lambda: http.app.state.music.n_open == 0)


def test_instruments_mood_genre_quality_and_prompt_changes_reach_the_engine(http):
    body = {**PROMPT, "instruments": ["violin", "cello"], "mood": "sad", "genre": "folk", "quality": "fast"}
    score = http.post("/v1/audio/music/score", json=body).json()
    assert {"violin", "cello"} <= {part["instrument"] for part in score["parts"]} and len(score["parts"]) <= 3
    assert (score["labels"]["mood"], score["labels"]["genre"]) == ("sad", "folk")
    body = {**PROMPT, "duration_s": 9, "format": "pcm", "prompt_changes": [{"at_s": 2.5, "prompt": "techno, 140 bpm"}]}
    changed = http.post("/v1/audio/music", json=body).content
    plain = http.post("/v1/audio/music", json={**PROMPT, "duration_s": 9, "format": "pcm"}).content
    assert len(changed) == len(plain) == 9 * 44_100 * 4
    n_same = 2 * 44_100 * 4
    assert changed[:n_same] == plain[:n_same] and changed != plain
    for path in ("stems", "midi", "score"):
        assert (
            http.post(f"/v1/audio/music/{path}", json={k: v for k, v in body.items() if k != "format"}).status_code
            == 400
        )
    assert http.post("/v1/audio/music", json={**PROMPT, "mood": "purple"}).status_code == 400
    assert http.post("/v1/audio/music", json={**PROMPT, "genre": "purple"}).status_code == 400
