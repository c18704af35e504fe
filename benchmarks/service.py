"""The server with the built-in voice under load: latency, gaps and throughput as clients measure them.

Every prompt is new and no cache is used. Clients stream 16-bit samples at the rate the answer names, and play them as
they come. Client and server share the machine, in processes of their own. SERVICE_REQUESTS in the environment sets how
many requests each client makes. Other rows tell how long `/health` takes while so many clients are spoken to.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx

from backend.api.speech.playback_clock import PlaybackClock
from backend.data.synthesis.templates import template_sentence

MODEL = "phonogram-mini"
CONCURRENCY = (1, 2, 4, 8)
REQUESTS_PER_CLIENT = 6
# A few requests say little: one client makes as many as two.
LEAST_CLIENTS = 2
SENTENCES = 2
# The open loop: this share of what the closed loop of eight could do, with arrivals as they are in life.
POISSON_LOAD = 0.6
POISSON_REQUESTS = 40
LONGEST_GAP_S = 0.1
HEALTH_CLIENTS = (0, 1, 4, 8)
HEALTH_S = 8.0
START_S = 180.0
TIMEOUT = httpx.Timeout(300.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Listened:
    """One request as its client knew it."""

    audio_s: float
    playback: PlaybackClock
    status: int


def run() -> list[dict[str, Any]]:
    prompts = unique_prompts()
    with running_server() as url:
        return asyncio.run(measure(url, prompts))


async def measure(url: str, prompts: Iterator[str]) -> list[dict[str, Any]]:
    """All rows: closed loops of 1, 2, 4 and 8 clients, then arrivals at random."""
    n_each = int(os.environ.get("SERVICE_REQUESTS", REQUESTS_PER_CLIENT))
    rows = []
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False, limits=httpx.Limits()) as http:
        await listen(http, next(prompts))
        for n_clients in CONCURRENCY:
            n_requests = n_each * max(n_clients, LEAST_CLIENTS)
            began_s = time.perf_counter()
            heard = await closed_loop(http, prompts, n_clients, n_requests)
            rows.append(summary(f"{n_clients} at a time", heard, time.perf_counter() - began_s))
        rows[-1]["throughput_times_that_of_1"] = round(
            rows[-1]["audio_s_per_s"] / max(rows[0]["audio_s_per_s"], 1e-9), 2
        )
        rate = POISSON_LOAD * rows[-1]["requests_per_s"]
        began_s = time.perf_counter()
        heard = await open_loop(http, prompts, rate, max(2, POISSON_REQUESTS * n_each // REQUESTS_PER_CLIENT))
        row = summary("Poisson arrivals", heard, time.perf_counter() - began_s)
        rows.append({**row, "offered_requests_per_s": round(rate, 3)})
        rows += [await health(http, prompts, n_clients) for n_clients in HEALTH_CLIENTS]
    return rows


async def health(http: httpx.AsyncClient, prompts: Iterator[str], n_clients: int) -> dict[str, Any]:
    """How long `/health` takes, asked by a process of its own, while `n_clients` are spoken to."""

    async def client() -> None:
        while True:
            await listen(http, next(prompts))

    clients = [asyncio.create_task(client()) for _ in range(n_clients)]
    try:
        await asyncio.sleep(1.0)
        command = [sys.executable, "-m", "benchmarks.prober", str(http.base_url.port), str(HEALTH_S)]
        prober = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        told, _ = await prober.communicate()
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    took_s = sorted(json.loads(told))
    return {
        "name": f"health, {n_clients} at a time", "requests": len(took_s),
        "health_p50_ms": round(median(took_s) * 1000, 1), "health_p95_ms": round(_p95(took_s) * 1000, 1),
        "health_max_ms": round(took_s[-1] * 1000, 1),
    }  # fmt: skip


async def closed_loop(
    http: httpx.AsyncClient, prompts: Iterator[str], n_clients: int, n_requests: int
) -> list[Listened]:
    """`n_clients` that ask again as soon as they were answered, until `n_requests` are made."""
    left = iter(range(n_requests))
    heard: list[Listened] = []

    async def client() -> None:
        for _ in left:
            heard.append(await listen(http, next(prompts)))

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return heard


async def open_loop(http: httpx.AsyncClient, prompts: Iterator[str], rate: float, n_requests: int) -> list[Listened]:
    """Requests that come when they come, whether or not others were answered."""
    draw, tasks = random.Random(0), []
    for _ in range(n_requests):
        tasks.append(asyncio.create_task(listen(http, next(prompts))))
        await asyncio.sleep(draw.expovariate(rate))
    return list(await asyncio.gather(*tasks))


async def listen(http: httpx.AsyncClient, text: str) -> Listened:
    """Ask for one speech and play it as it comes."""
    playback, n_bytes, rate_hz = PlaybackClock(time.perf_counter()), 0, 0
    body = {"text": text, "streaming": True, "format": "pcm", "latency": "low", "use_memory_cache": "off"}
    async with http.stream("POST", "/tts", json=body) as answer:
        if answer.status_code != 200:
            return Listened(0.0, playback, answer.status_code)
        rate_hz = int(answer.headers["x-sample-rate"])
        async for piece in answer.aiter_raw():
            n_bytes += len(piece)
            playback.sent(len(piece) / 2 / rate_hz, time.perf_counter())
    return Listened(n_bytes / 2 / rate_hz, playback, 200)


def summary(name: str, heard: Sequence[Listened], took_s: float) -> dict[str, Any]:
    """One row. Seconds of sound count at the answer's own rate; what was refused counts as that and nothing else."""
    good = [one for one in heard if one.status == 200]
    firsts = sorted(one.playback.first_audio_s for one in good) or [float("nan")]
    gaps = sorted(one.playback.longest_underrun_s for one in good) or [float("nan")]
    audio_s = sum(one.audio_s for one in good)
    return {
        "name": name, "requests": len(heard), "refused": len(heard) - len(good),
        "first_audio_p50_s": round(median(firsts), 3), "first_audio_p95_s": round(_p95(firsts), 3),
        "share_without_gap_over_100_ms": round(sum(gap <= LONGEST_GAP_S for gap in gaps) / len(gaps), 4),
        "longest_gap_p95_s": round(_p95(gaps), 3),
        "rtf_p50": round(median(one.playback.total_s / max(one.audio_s, 1e-9) for one in good), 3) if good else None,
        "audio_s_per_s": round(audio_s / took_s, 2), "requests_per_s": round(len(good) / took_s, 3),
        "audio_s": round(audio_s, 1), "took_s": round(took_s, 1),
    }  # fmt: skip


def _p95(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def unique_prompts(seed: int = 0) -> Iterator[str]:
    """Texts of two sentences, none twice."""
    draw, given = random.Random(seed), set()
    while True:
        text = " ".join(template_sentence(draw) for _ in range(SENTENCES))
        if text not in given:
            given.add(text)
            yield text


@contextmanager
def running_server() -> Iterator[str]:
    """The address of a server of its own, ready to speak."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MODEL_DIR": MODEL, "DATA_DIR": folder, "API_KEY": "", "RATE_LIMIT_PER_MIN": "0"}
        command = [sys.executable, "-m", "backend", "serve", "--port", str(port)]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, server)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(40)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and server.poll() is None:
        try:
            if httpx.get(f"{url}/ready", trust_env=False, timeout=5.0).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"The server was not ready within {START_S:.0f} s. Run `python -m backend serve` to see why.")
