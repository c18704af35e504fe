"""Killed servers and full disks lose no accepted data and leave no partial files."""

import io
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from tests.fault.victim import Victim
from tests.support.error_leaks import INTERNALS, without_echo
from tests.support.trial import sized, tell

pytestmark = pytest.mark.fault

N_KILLS = sized(2, 3)
# Of a crowd that is cut off: how many of its clients speak, stream, add voices and hand in books.
N_SPEAKERS, N_VOICES, N_BOOKS = sized(2, 60), sized(1, 25), sized(1, 15)
JOBS_EACH = sized(2, 1)
BODY = {"text": "Hello there.", "seed": 3, "max_new_tokens": 12, "format": "pcm", "use_memory_cache": "off"}
SOUND = encode_audio(Waveform.of(speech_like(duration_s=1.0, rate_hz=8000), 8000), "wav")
BOOK = " ".join(f"This is sentence number {n} of a small book." for n in range(4))


def voice_form(name):
    form = {"name": name, "text": "some words", "consent": "true"}
    return {"data": form, "files": {"audio": io.BytesIO(SOUND)}}


class Crowd:
    """Clients of every kind; what was accepted is noted the moment the answer is there."""

    def __init__(self, url: str, expected: bytes) -> None:
        self.url, self.expected = url, expected
        self.voices: list[str] = []
        self.jobs: list[str] = []
        self.n_asked = 0
        self.whole = self.broken = 0
        self.short: list[int] = []
        kinds = [self.speak] * N_SPEAKERS + [self.add_voices] * N_VOICES + [self.add_jobs] * N_BOOKS
        self._threads = [threading.Thread(target=kind, args=(n,)) for n, kind in enumerate(kinds)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def speak(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while True:
                self.n_asked += 1
                try:
                    answer = http.post("/tts", json={**BODY, "streaming": bool(number % 2)})
                except httpx.TransportError:
                    self.broken += 1
                    return
                if answer.status_code == 200:
                    self.whole += 1
                    if answer.content != self.expected:
                        self.short.append(len(answer.content))
                else:
                    time.sleep(0.2)

    def add_voices(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while True:
                try:
                    answer = http.post("/voices", **voice_form(f"Voice {time.monotonic_ns()}"))
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    self.voices.append(answer.json()["id"])
                elif N_VOICES > 1:
                    time.sleep(0.2)

    def add_jobs(self, number: int) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            for _ in range(JOBS_EACH):
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
        expected = victim.http.post("/tts", json=BODY).content
        n_asked = n_whole = n_broken = 0
        for _ in range(N_KILLS):
            crowd = Crowd(victim.url, expected)
            deadline_s = time.monotonic() + 120
            while not (crowd.voices and crowd.whole > 3 and len(crowd.jobs) >= max(1, N_BOOKS // 2)):
                assert time.monotonic() < deadline_s, vars(crowd)
                time.sleep(0.01)
            victim.kill()
            crowd.join()
            voices += crowd.voices
            jobs += crowd.jobs
            n_asked, n_whole, n_broken = n_asked + crowd.n_asked, n_whole + crowd.whole, n_broken + crowd.broken
            assert crowd.broken == N_SPEAKERS and not crowd.short, "an answer that broke off passed for a whole one"
            victim.start()
            there = {voice["id"] for voice in victim.http.get("/voices").json()["voices"]}
            assert set(voices) <= there
            for voice in voices[-20:]:
                assert victim.http.post("/tts", json={**BODY, "voice": voice}).status_code == 200
            assert victim.http.post("/tts", json=BODY).content == expected
        for job in jobs:
            deadline_s = time.monotonic() + 300
            while (state := victim.http.get(f"/jobs/{job}").json()["state"]) != "done":
                assert state not in ("failed", "cancelled") and time.monotonic() < deadline_s, state
                time.sleep(0.1)
            assert victim.http.get(f"/jobs/{job}/audio").content[:4] == b"RIFF"
    tell(
        "kill -9", kills=N_KILLS, clients=N_SPEAKERS + N_VOICES + N_BOOKS, speeches_asked=n_asked, speeches_whole=n_whole,
        speeches_broken_off=n_broken, short_ones_that_looked_whole=0, voices_accepted=len(voices), voices_lost=0,
        jobs_accepted=len(jobs), jobs_lost=0,
    )  # fmt: skip


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
    assert refused.status_code == 507 and refused.json()["error"] == "StorageFull", refused.text
    assert not INTERNALS.search(without_echo(refused.text)), refused.text
    assert {voice["id"] for voice in victim.http.get("/voices").json()["voices"]} == set(added)
    assert not [path for path in data.rglob("*") if path.name.endswith(".part")]
    # Speaking needs no disk.
    assert victim.http.post("/tts", json=BODY).status_code == 200


def test_full_disk_is_reported_and_leaves_no_partial_file(tmp_path, small_disk):
    with Victim("small", tmp_path, data_dir=small_disk / "data", chunk_size=1000) as victim:
        added, refused = fill(victim)
        require_sane(victim, added, refused, small_disk / "data")
        assert added
        # A job is refused, or it is kept and waits with its reason.
        answer = victim.http.post("/jobs", json={"text": BOOK, "seed": 5, "format": "wav"})
        assert answer.status_code in (201, 507), answer.text
        tell("full disk", voices_kept=len(added), voices_lost=0, told=refused.status_code, job_told=answer.status_code)
        # Room again: the same server goes on.
        assert victim.http.delete(f"/voices/{added[0]}").status_code == 204
        assert victim.http.post("/voices", **voice_form("After")).status_code == 201
        if answer.status_code == 201:
            victim.kill()
            victim.start()
            assert victim.http.get(f"/jobs/{answer.json()['id']}").status_code == 200


def test_write_failure_is_reported(tmp_path):
    with Victim("small", tmp_path, chunk_size=1000, max_file_bytes=2000) as victim:
        added, refused = fill(victim)
        require_sane(victim, added, refused, tmp_path / "data")
        assert added == []
