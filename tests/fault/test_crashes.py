"""Servers that are killed and disks that are full: what was accepted is there afterwards, and nothing half done shows."""

import io
import os
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from tests.api.test_shield import INSIDE, told
from tests.fault.victim import Victim

pytestmark = pytest.mark.fault

N_KILLS = int(os.environ.get("PHONOGRAM_KILLS", "2"))
BODY = {"text": "Hello there.", "seed": 3, "max_new_tokens": 12, "format": "pcm", "use_memory_cache": "off"}
SOUND = encode_audio(Waveform.of(speech_like(duration_s=1.0, rate_hz=8000), 8000), "wav")
BOOK = " ".join(f"This is sentence number {n} of a small book." for n in range(4))


def voice_form(name):
    form = {"name": name, "text": "some words", "consent": "true"}
    return {"data": form, "files": {"audio": io.BytesIO(SOUND)}}


class Crowd:
    """Clients of every kind; what was accepted is noted the moment the answer is there."""

    def __init__(self, url: str, expected: bytes, has_jobs: bool) -> None:
        self.url, self.expected = url, expected
        self.voices: list[str] = []
        self.jobs: list[str] = []
        self.whole = self.broken = 0
        self.short: list[int] = []
        kinds = [self.speak, self.speak, self.add_voices] + ([self.add_jobs] if has_jobs else [])
        self._threads = [threading.Thread(target=kind, args=(n,)) for n, kind in enumerate(kinds)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def speak(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while True:
                try:
                    answer = http.post("/tts", json={**BODY, "streaming": bool(number % 2)})
                except httpx.TransportError:
                    self.broken += 1
                    return
                if answer.status_code == 200:
                    self.whole += 1
                    if answer.content != self.expected:
                        self.short.append(len(answer.content))

    def add_voices(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while True:
                try:
                    answer = http.post("/voices", **voice_form(f"Voice {time.monotonic_ns()}"))
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    self.voices.append(answer.json()["id"])

    def add_jobs(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while len(self.jobs) < 2:
                try:
                    answer = http.post("/jobs", json={"text": BOOK, "seed": 5, "format": "wav"})
                except httpx.TransportError:
                    return
                if answer.status_code < 300:
                    self.jobs.append(answer.json()["id"])


def test_nothing_accepted_is_lost_when_the_server_is_killed(tmp_path):
    voices, jobs = [], []
    # A random model never ends by itself: a short memory keeps the sentences of jobs short.
    with Victim("small", tmp_path, chunk_size=1000, max_seq_len=320) as victim:
        has_jobs = "/jobs" in victim.http.get("/openapi.json").json()["paths"]
        expected = victim.http.post("/tts", json=BODY).content
        for _ in range(N_KILLS):
            crowd = Crowd(victim.url, expected, has_jobs)
            deadline_s = time.monotonic() + 60
            while not (crowd.voices and crowd.whole > 3 and (crowd.jobs or not has_jobs)):
                assert time.monotonic() < deadline_s, vars(crowd)
                time.sleep(0.01)
            victim.kill()
            crowd.join()
            voices += crowd.voices
            jobs += crowd.jobs
            assert crowd.broken == 2 and not crowd.short, "an answer that broke off passed for a whole one"
            victim.start()
            there = {voice["id"] for voice in victim.http.get("/voices").json()["voices"]}
            assert set(voices) <= there
            for voice in voices:
                assert victim.http.post("/tts", json={**BODY, "voice": voice}).status_code == 200
            assert victim.http.post("/tts", json=BODY).content == expected
        for job in jobs:
            deadline_s = time.monotonic() + 300
            while (state := victim.http.get(f"/jobs/{job}").json()["state"]) != "done":
                assert state not in ("failed", "cancelled") and time.monotonic() < deadline_s, state
                time.sleep(0.1)
            assert victim.http.get(f"/jobs/{job}/audio").content[:4] == b"RIFF"


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of one megabyte, where this process may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(victim: Victim) -> tuple[list[str], httpx.Response]:
    """Add voices until one is refused."""
    added = []
    while True:
        answer = victim.http.post("/voices", **voice_form(f"Voice {len(added)}"))
        if answer.status_code != 201:
            return added, answer
        added.append(answer.json()["id"])
        assert len(added) < 500


def require_sane(victim: Victim, added: list[str], refused: httpx.Response, data: Path) -> None:
    assert refused.status_code in (500, 507) and refused.json()["error"] == "OutputError", refused.text
    assert not INSIDE.search(told(refused.text)), refused.text
    assert {voice["id"] for voice in victim.http.get("/voices").json()["voices"]} == set(added)
    assert not [path for path in data.rglob("*") if path.name.endswith(".part")]
    # Speaking needs no disk.
    assert victim.http.post("/tts", json=BODY).status_code == 200


def test_a_full_disk_is_told_and_nothing_half_written_shows(tmp_path, small_disk):
    with Victim("small", tmp_path, data_dir=small_disk / "data", chunk_size=1000) as victim:
        added, refused = fill(victim)
        require_sane(victim, added, refused, small_disk / "data")
        assert added
        # Room again: the same server goes on.
        assert victim.http.delete(f"/voices/{added[0]}").status_code == 204
        assert victim.http.post("/voices", **voice_form("After")).status_code == 201


def test_a_file_that_cannot_be_written_to_its_end_is_told(tmp_path):
    with Victim("small", tmp_path, chunk_size=1000, max_file_bytes=2000) as victim:
        added, refused = fill(victim)
        require_sane(victim, added, refused, tmp_path / "data")
        assert added == []
