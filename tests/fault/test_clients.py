"""Clients that disconnect, stall, send garbage or overload the server: others are served, and memory stays flat."""

import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
import numpy as np
import psutil
import pytest

from backend.settings import ROOT
from tests.fault.victim import Victim
from tests.support.trial import sized, tell

pytestmark = pytest.mark.fault

MB = 2**20
OVERLOAD_S = sized(8.0, 120.0)
N_DISCONNECTS = sized(300, 1000)
N_READERS, SLOW_S = sized(8, 16), sized(0.0, 60.0)
N_BABBLES = sized(5, 100)
N_FREED = sized(10, 100)
HEALTH_LIMIT_S, BUSY_LIMIT_S, FREE_SHARE = 0.05, 2.0, 0.15
# 0.15 s on a machine of its own; others may hold up the asking here.
FREE_LIMIT_S = 0.5


def mb(n_bytes: int) -> float:
    return round(n_bytes / MB, 1)


def percentile_ms(took_s: list[float], percent: float) -> float:
    return round(float(np.percentile(took_s, percent)) * 1000, 1)


def raw_request(body: bytes) -> bytes:
    head = "POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def speech_body(n_chars: int) -> bytes:
    return b'{"streaming": true, "format": "pcm", "text": "%s"}' % (b"x" * n_chars)


@pytest.fixture
def hum(tmp_path):
    with Victim("hum", tmp_path, max_text_chars=200_000, client_timeout_s=1.5) as victim:
        yield victim


def test_thousand_disconnects_leak_nothing(hum):
    draw = random.Random(0)
    bodies = [raw_request(speech_body(n)) for n in (10, 1000, 8000)]

    def leave_all(n_clients):
        for _ in range(n_clients):
            request = bodies[draw.randrange(3)]
            with socket.create_connection(("127.0.0.1", hum.port), timeout=10) as client:
                # Some in the middle of their own request, some before the answer, some in the middle of it.
                stage = draw.randrange(4)
                client.sendall(request[: draw.randrange(len(request))] if stage == 0 else request)
                if stage > 1:
                    client.recv(1 if stage == 2 else 65536)

    leave_all(N_DISCONNECTS // 10)
    before_bytes, before = hum.settled_bytes(), (hum.watched.num_fds(), hum.watched.num_threads())
    leave_all(N_DISCONNECTS)
    grown_bytes = hum.settled_bytes() - before_bytes
    tell("disconnects", requests=N_DISCONNECTS, rss_before_mb=mb(before_bytes), rss_growth_mb=mb(grown_bytes))
    assert grown_bytes < 40 * MB
    # The pool of threads grows to its size and no further.
    n_fds, n_threads = hum.watched.num_fds(), hum.watched.num_threads()
    assert n_fds <= before[0] + 10 and n_threads <= max(before[1] + 10, 100)
    assert hum.http.post("/tts", json={"text": "Still here."}).status_code == 200


def test_disconnect_frees_the_slot_soon(tmp_path):
    # A random model would go on for 900 frames.
    body = b'{"streaming": true, "format": "pcm", "use_memory_cache": "off", "text": "Hello there."}'
    freed_s = []
    with Victim("small", tmp_path, max_batch=1, chunk_size=1000) as small:
        for _ in range(N_FREED):
            with socket.create_connection(("127.0.0.1", small.port), timeout=10) as client:
                client.sendall(raw_request(body))
                assert client.recv(15).startswith(b"HTTP/1.1 200")
            left_s = time.perf_counter()
            while small.measure("engine")["batch"]["active"]:
                assert time.perf_counter() - left_s < 5.0
            freed_s.append(time.perf_counter() - left_s)
    tell(
        "place free after leaving",
        requests=N_FREED,
        p50_ms=percentile_ms(freed_s, 50),
        p95_ms=percentile_ms(freed_s, 95),
    )
    assert np.median(freed_s) < FREE_LIMIT_S


def test_slow_readers_time_out_and_others_are_served(hum):
    before_bytes = hum.settled_bytes()
    is_over = threading.Event()

    def dawdle(client):
        with client:
            while not is_over.wait(1.0):
                try:
                    if not client.recv(1):
                        return
                except OSError:
                    return

    threads = []
    for _ in range(N_READERS):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", hum.port))
        client.sendall(raw_request(speech_body(30_000)))  # 10 MB of sound each
        threads.append(threading.Thread(target=dawdle, args=(client,)))
        threads[-1].start()
    while hum.measure("phonogram_open_speeches") == 0:
        time.sleep(0.01)
    assert hum.http.post("/tts", json={"text": "Others speak."}).status_code == 200
    # The readers are still there when their places are free.
    started_s = time.monotonic()
    hum.wait_until_idle(120)
    freed_s = time.monotonic() - started_s
    assert any(thread.is_alive() for thread in threads)
    is_over.wait(SLOW_S)
    assert hum.http.post("/tts", json={"text": "Others speak."}).status_code == 200
    grown_bytes = hum.settled_bytes() - before_bytes
    tell(
        "readers of one byte a second", readers=N_READERS, read_for_s=SLOW_S, places_free_after_s=round(freed_s, 1),
        rss_before_mb=mb(before_bytes), rss_growth_mb=mb(grown_bytes),
    )  # fmt: skip
    assert grown_bytes < 100 * MB
    is_over.set()
    for thread in threads:
        thread.join()


BABBLE = [
    b"", b"\r\n" * 200, b"\0" * 999, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"POST /tts HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET /" + b"a" * 99_999 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"tex",
    b"POST /tts HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=\r\nContent-Length: 4\r\n\r\n----",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 9999 + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]  # fmt: skip


def test_garbage_input_is_rejected_or_ignored(hum):
    before_bytes, n_refused = hum.settled_bytes(), 0
    for words in BABBLE * N_BABBLES:
        with socket.create_connection(("127.0.0.1", hum.port), timeout=10) as client:
            try:
                client.sendall(words)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(65536)
            except OSError:
                continue
            n_refused += answer.startswith(b"HTTP/1.1 4")
            assert not answer.startswith(b"HTTP/1.1 5"), (words[:80], answer[:200])
            assert not answer.startswith(b"HTTP/1.1 200") or words.startswith(b"GET"), words[:80]
    assert hum.http.post("/tts", json={"text": "Still here."}).status_code == 200
    grown_bytes = hum.settled_bytes() - before_bytes
    n = len(BABBLE) * N_BABBLES
    tell(
        "babble", requests=n, refused=n_refused, faults=0, rss_before_mb=mb(before_bytes), rss_growth_mb=mb(grown_bytes)
    )
    assert grown_bytes < 40 * MB


class SystemInfo:
    """What share of the machine others than these processes used since this was made."""

    def __init__(self, *processes):
        self._processes = processes
        self._start = self._used()
        self._start_s = time.monotonic()

    def _used(self):
        busy = psutil.cpu_times()
        ours = sum(sum(one.cpu_times()[:2]) for one in self._processes)
        return busy.user + busy.nice + busy.system - ours

    def others(self):
        took_s = time.monotonic() - self._start_s
        return max(0.0, self._used() - self._start) / took_s / psutil.cpu_count()


def test_overload_is_served_or_gets_a_429(tmp_path):
    rows, waiting = 4, 4
    with Victim("small", tmp_path, max_batch=rows, max_queue=waiting, chunk_size=1000) as small:
        body = {"text": "Hello there, all of you.", "max_new_tokens": 40, "use_memory_cache": "off", "format": "pcm"}
        assert small.http.post("/tts", json={**body, "seed": 1}).status_code == 200
        expected = {seed: small.http.post("/tts", json={**body, "seed": seed}).content for seed in range(5)}
        before_bytes = small.settled_bytes()
        statuses, wrong, hints = Counter(), [], []
        is_over = threading.Event()

        def press(seed):
            with httpx.Client(base_url=small.url, trust_env=False, timeout=120) as http:
                while not is_over.is_set():
                    answer = http.post("/tts", json={**body, "seed": seed, "streaming": bool(seed % 2)})
                    statuses[answer.status_code] += 1
                    if answer.status_code == 429:
                        hints.append(int(answer.headers["retry-after-ms"]))
                        time.sleep(0.05)  # far sooner than told
                    elif answer.content != expected[seed]:
                        wrong.append(seed)

        crowd = [threading.Thread(target=press, args=(n % 5,)) for n in range(4 * (rows + waiting))]
        for thread in crowd:
            thread.start()
        machine = SystemInfo(small.watched, psutil.Process())
        command = [sys.executable, "-m", "benchmarks.prober", str(small.port), str(OVERLOAD_S)]
        probed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        health_s = json.loads(probed.stdout)
        others = machine.others()
        is_over.set()
        for thread in crowd:
            thread.join()
        grown_bytes = small.settled_bytes() - before_bytes
        assert small.http.post("/tts", json={**body, "seed": 1}).content == expected[1]
    p95_s = np.percentile(health_s, 95)
    tell(
        "4 times too many", duration_s=OVERLOAD_S, requests=sum(statuses.values()), served=statuses[200],
        refused=statuses[429], wrong=len(wrong), health_requests=len(health_s), health_p50_ms=percentile_ms(health_s, 50),
        health_p95_ms=percentile_ms(health_s, 95), rss_before_mb=mb(before_bytes), rss_growth_mb=mb(grown_bytes),
        share_of_machine_used_by_others=round(others, 2),
    )  # fmt: skip
    assert set(statuses) == {200, 429} and not wrong
    assert all(hint > 0 for hint in hints)
    assert grown_bytes < 60 * MB
    # Where others keep the cores busy, their time slices are what is measured.
    assert p95_s < (HEALTH_LIMIT_S if others < FREE_SHARE else BUSY_LIMIT_S)
