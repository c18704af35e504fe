"""`/codec`: encoding, decoding and inspection over HTTP, and rejected requests."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from backend.api.engine_host import MAX_TASKS
from backend.audio.files import encode_audio, read_audio
from backend.audio.waveform import Waveform
from tests.support.fake_engine import FakeEngine
from tests.support.served import asked_here, served

TONE = Waveform.of(0.7 * np.sin(np.arange(8000) / 5).astype(np.float32), 8000)
SOUND = encode_audio(TONE, "wav")


@pytest.fixture(scope="module")
def http():
    with asked_here() as client:
        yield client


@pytest.fixture(scope="module")
def code_file(http):
    return http.post("/codec/encode", files={"audio": SOUND}).content


def test_code_file_response_has_metadata_headers(http, code_file):
    answer = http.post("/codec/encode", files={"audio": SOUND})
    assert answer.status_code == 200 and answer.content[:4] == b"\x89PGC"
    assert answer.headers["content-type"] == "application/octet-stream"
    told = {name: answer.headers[f"x-{name}"] for name in ("codec", "frames", "codebooks", "kbps", "duration-s")}
    kbps = len(code_file) * 8 / 1000
    assert told == {
        "codec": "hum", "frames": "50", "codebooks": "2", "kbps": f"{kbps:.3f}", "duration-s": "1.000"
    }  # fmt: skip
    fewer = http.post("/codec/encode", params={"n_codebooks": 1}, files={"audio": SOUND})
    assert fewer.headers["x-codebooks"] == "1" and len(fewer.content) < len(code_file)


@pytest.mark.parametrize("how", ["form", "body"])
def test_form_and_bare_body_are_the_same(http, code_file, how):
    kinds = {"form": lambda name, content: {"files": {name: content}}}
    kinds["body"] = lambda _, content: {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    assert http.post("/codec/encode", **kinds[how]("audio", SOUND)).content == code_file
    heard = http.post("/codec/decode", params={"format": "flac"}, **kinds[how]("codes", code_file))
    assert heard.headers["content-type"] == "audio/flac" and heard.headers["x-sample-rate"] == "8000"
    assert read_audio(heard.content).n_samples == 8000


def test_inspection_shows_as_many_codes_as_were_asked_for(http, code_file):
    whole = http.post("/codec/inspect", files={"codes": code_file}).json()
    assert (whole["codec"], whole["is_decodable"], whole["n_frames"], whole["n_codebooks"]) == ("hum", True, 50, 2)
    assert whole["file_bytes"] == len(code_file) and whole["codebook_sizes"] == [16, 16]
    assert np.array(whole["codes"]).shape == (2, 50) and set(whole["codes"][0]) == {11}
    part = http.post("/codec/inspect?start_frame=45&max_frames=9", files={"codes": code_file}).json()
    assert part["start_frame"] == 45 and part["codes"] == [row[45:] for row in whole["codes"]]
    assert http.post("/codec/inspect?max_frames=10001", files={"codes": code_file}).status_code == 400


@pytest.mark.parametrize("path", ["encode", "decode", "inspect"])
def test_file_of_a_wrong_type_is_a_400(http, path):
    name = "audio" if path == "encode" else "codes"
    for content in (b"", b"RIFF", b"\x89PGC", SOUND[:100]):
        answer = http.post(f"/codec/{path}", files={name: content})
        assert answer.status_code == 400 and answer.json()["message"], content
    for wrong in ({"files": {"other": b"x"}}, {"data": {name: "text"}, "files": {"q": b""}}):
        assert http.post(f"/codec/{path}", **wrong).status_code == 400
    assert http.post(f"/codec/{path}", json={}).status_code == 415


def test_damaged_code_file_is_a_400(http, code_file):
    broken = code_file[:-9] + bytes([code_file[-9] ^ 1]) + code_file[-8:]
    for path in ("decode", "inspect"):
        assert http.post(f"/codec/{path}", files={"codes": broken}).json()["error"] == "BadContainer"


def test_long_sounds_and_large_bodies_are_refused():
    with asked_here(max_audio_s=0.5, max_upload_mb=1) as http:
        long = http.post("/codec/encode", files={"audio": SOUND})
        assert long.status_code == 413 and "limit of 0.5 s" in long.json()["message"]
        for kind in ({"files": {"audio": bytes(2**20 + 1)}}, {"content": bytes(2**20 + 1)}):
            headers = {"Content-Type": "application/octet-stream"} if "content" in kind else {}
            assert http.post("/codec/encode", headers=headers, **kind).status_code == 413


def test_excess_tasks_are_rejected_and_short_calls_still_run():
    class Slow(FakeEngine):
        def __init__(self):
            super().__init__()
            self.at_work = threading.Barrier(MAX_TASKS + 1)
            self.may_end = threading.Event()

        def read_code_file(self, content):
            self.at_work.wait(20)
            self.may_end.wait(20)
            return super().read_code_file(content)

    engine, content = Slow(), FakeEngine().encode_file(TONE).content
    with served(engine) as url, ThreadPoolExecutor(MAX_TASKS) as clients:

        def inspect():
            return httpx.post(f"{url}/codec/inspect", files={"codes": content}, trust_env=False, timeout=30).status_code

        waiting = [clients.submit(inspect) for _ in range(MAX_TASKS)]
        engine.at_work.wait(20)
        refused = httpx.post(f"{url}/codec/inspect", files={"codes": content}, trust_env=False)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{url}/voices", trust_env=False).status_code == 200
        engine.may_end.set()
        assert [one.result() for one in waiting] == [200] * MAX_TASKS
