"""The server with the built-in voice under load: latency, underruns and throughput as measured by clients.

Every prompt is new and caches are off. Clients stream 16-bit samples and play them in real time at the rate in the
response. Client and server share the machine, in separate processes. SERVICE_REQUESTS in the environment sets the
number of requests per client. Further rows measure the response time of `/health` under load.
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

from backend.api.metrics import PlaybackClock
from backend.data.synthesis.templates import template_sentence

MODEL = "phonogram-mini"
CONCURRENCY = (1, 2, 4, 8)
REQUESTS_PER_CLIENT = 6
# One client makes as many requests as two, for a larger sample.
LEAST_CLIENTS = 2
SENTENCES = 2
# The open loop: this fraction of the throughput of eight clients, with Poisson arrivals.
POISSON_LOAD = 0.6
POISSON_REQUESTS = 40
LONGEST_GAP_S = 0.1
HEALTH_CLIENTS = (0, 1, 4, 8)
HEALTH_S = 8.0
START_S = 180.0
TIMEOUT = httpx.Timeout(300.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """One request as measured by its client."""

    audio_s: float
    playback: PlaybackClock
    status: int


def run() -> list[dict[str, Any]]:
    prompts = unique_prompts()
    with running_server() as url:
        return asyncio.run(measure(url, prompts))


async def measure(url: str, prompts: Iterator[str]) -> list[dict[str, Any]]:
    """Returns all rows: closed loops of 1, 2, 4 and 8 clients, then random arrivals, then `/health` under load."""
    n_each = int(os.environ.get("SERVICE_REQUESTS", REQUESTS_PER_CLIENT))
    rows = []
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False, limits=httpx.Limits()) as http:
        await stream_speech(http, next(prompts))
        for n_clients in CONCURRENCY:
            n_requests = n_each * max(n_clients, LEAST_CLIENTS)
            began_s = time.perf_counter()
            results = await closed_loop(http, prompts, n_clients, n_requests)
            rows.append(summary(f"{n_clients} at a time", results, time.perf_counter() - began_s))
        rows[-1]["throughput_times_that_of_1"] = round(
            rows[-1]["audio_s_per_s"] / max(rows[0]["audio_s_per_s"], 1e-9), 2
        )
        rate = POISSON_LOAD * rows[-1]["requests_per_s"]
        began_s = time.perf_counter()
        results = await open_loop(http, prompts, rate, max(2, POISSON_REQUESTS * n_each // REQUESTS_PER_CLIENT))
        row = summary("Poisson arrivals", results, time.perf_counter() - began_s)
        rows.append({**row, "offered_requests_per_s": round(rate, 3)})
        rows += [await health(http, prompts, n_clients) for n_clients in HEALTH_CLIENTS]
    return rows


async def health(http: httpx.AsyncClient, prompts: Iterator[str], n_clients: int) -> dict[str, Any]:
    """Measures the response time of `/health` from a separate process, while `n_clients` stream speech."""

    async def client() -> None:
        while True:
            await stream_speech(http, next(prompts))

    clients = [asyncio.create_task(client()) for _ in range(n_clients)]
    try:
        await asyncio.sleep(1.0)
        command = [sys.executable, "-m", "benchmarks.prober", str(http.base_url.port), str(HEALTH_S)]
        prober = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        output, _ = await prober.communicate()
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    took_s = sorted(json.loads(output))
    return {
        "name": f"health, {n_clients} at a time", "requests": len(took_s),
        "health_p50_ms": round(median(took_s) * 1000, 1), "health_p95_ms": round(_p95(took_s) * 1000, 1),
        "health_max_ms": round(took_s[-1] * 1000, 1),
    }  # fmt: skip


async def closed_loop(
    http: httpx.AsyncClient, prompts: Iterator[str], n_clients: int, n_requests: int
) -> list[RequestResult]:
    """Runs `n_clients` that send a request as soon as the previous one is done, until `n_requests` are made."""
    left = iter(range(n_requests))
    results: list[RequestResult] = []

    async def client() -> None:
        for _ in left:
            results.append(await stream_speech(http, next(prompts)))

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return results


async def open_loop(
    http: httpx.AsyncClient, prompts: Iterator[str], rate: float, n_requests: int
) -> list[RequestResult]:
    """Sends requests at random times, independent of earlier responses."""
    rng, tasks = random.Random(0), []
    for _ in range(n_requests):
        tasks.append(asyncio.create_task(stream_speech(http, next(prompts))))
        await asyncio.sleep(rng.expovariate(rate))
    return list(await asyncio.gather(*tasks))


async def stream_speech(http: httpx.AsyncClient, text: str) -> RequestResult:
    """Streams one synthesis and plays it in real time."""
    playback, n_bytes, rate_hz = PlaybackClock(time.perf_counter()), 0, 0
    body = {"text": text, "streaming": True, "format": "pcm", "latency": "low", "use_memory_cache": "off"}
    async with http.stream("POST", "/tts", json=body) as response:
        if response.status_code != 200:
            return RequestResult(0.0, playback, response.status_code)
        rate_hz = int(response.headers["x-sample-rate"])
        async for chunk in response.aiter_raw():
            n_bytes += len(chunk)
            playback.sent(len(chunk) / 2 / rate_hz, time.perf_counter())
    return RequestResult(n_bytes / 2 / rate_hz, playback, 200)


def summary(name: str, results: Sequence[RequestResult], took_s: float) -> dict[str, Any]:
    """Returns one row. Seconds of audio use the response's sample rate; rejected requests count only as such."""
    succeeded = [one for one in results if one.status == 200]
    firsts = sorted(one.playback.first_audio_s for one in succeeded) or [float("nan")]
    gaps = sorted(one.playback.longest_underrun_s for one in succeeded) or [float("nan")]
    audio_s = sum(one.audio_s for one in succeeded)
    return {
        "name": name, "requests": len(results), "refused": len(results) - len(succeeded),
        "first_audio_p50_s": round(median(firsts), 3), "first_audio_p95_s": round(_p95(firsts), 3),
        "share_without_gap_over_100_ms": round(sum(gap <= LONGEST_GAP_S for gap in gaps) / len(gaps), 4),
        "longest_gap_p95_s": round(_p95(gaps), 3),
        "rtf_p50": round(median(one.playback.total_s / max(one.audio_s, 1e-9) for one in succeeded), 3) if succeeded else None,
        "audio_s_per_s": round(audio_s / took_s, 2), "requests_per_s": round(len(succeeded) / took_s, 3),
        "audio_s": round(audio_s, 1), "took_s": round(took_s, 1),
    }  # fmt: skip


def _p95(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def unique_prompts(seed: int = 0) -> Iterator[str]:
    """Yields texts of two sentences without repetition."""
    rng, given = random.Random(seed), set()
    while True:
        text = " ".join(template_sentence(rng) for _ in range(SENTENCES))
        if text not in given:
            given.add(text)
            yield text


@contextmanager
def running_server() -> Iterator[str]:
    """Starts a server and yields its address when it is ready."""
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
