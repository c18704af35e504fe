"""One replica with the built-in voice: throughput by number of concurrent requests, and bitrate of each format."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from typing import Any

import numpy as np

from backend.api.speech.response import MEDIA_TYPES, encoded
from backend.audio.waveform import Waveform
from backend.opt_engine import OptimizedEngine
from backend.runtime.request import SpeechRequest
from backend.settings import Settings

AT_ONCE = (1, 2, 4, 8)
LEVEL_S = 5.0
# All texts differ, so that no cache is used.
NAMES = ("harbor", "garden", "kitchen", "station", "library", "meadow", "market", "river", "tower", "valley", "forest")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def texts():
    for number, (name, day) in enumerate(itertools.cycle(itertools.product(NAMES, DAYS))):
        yield f"On {day} the {name} was quiet, and number {number} of the letters lay unopened beside the window."


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        engine = OptimizedEngine(Settings(_env_file=None, device="cpu", data_dir=folder, max_batch=max(AT_ONCE)))  # type: ignore[call-arg]
        engine.load()
        try:
            prompts = texts()
            lock = threading.Lock()

            def next_text() -> str:
                with lock:
                    return next(prompts)

            sample = engine.speak(SpeechRequest(text=next_text(), seed=1)).waveform
            rows = [_level(engine, n, next_text) for n in AT_ONCE]
            status = engine.status()
        finally:
            engine.close()
    assert status.process is not None
    return [*rows, *_formats(sample)]


def _level(engine: OptimizedEngine, n_at_once: int, next_text: Any) -> dict[str, Any]:
    """Runs `n_at_once` clients, each requesting the next text when the previous one is done."""
    audio_s, first_s, rtf = [], [], []
    ends_s = time.perf_counter() + LEVEL_S
    started_s = time.perf_counter()

    def speak() -> None:
        while time.perf_counter() < ends_s:
            stream = engine.stream(SpeechRequest(text=next_text(), seed=1, use_memory_cache=False))
            for _ in stream:
                pass
            audio_s.append(stream.metrics.audio_s)
            first_s.append(stream.metrics.first_audio_s)
            rtf.append(stream.metrics.rtf)

    callers = [threading.Thread(target=speak) for _ in range(n_at_once)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    took_s = time.perf_counter() - started_s
    return {
        "name": f"{n_at_once} at once", "at_once": n_at_once, "speeches": len(audio_s),
        "audio_s_per_s": round(sum(audio_s) / took_s, 2), "first_audio_p50_s": round(float(np.percentile(first_s, 50)), 3),
        "first_audio_p95_s": round(float(np.percentile(first_s, 95)), 3), "rtf_p95": round(float(np.percentile(rtf, 95)), 3),
    }  # fmt: skip


def _formats(sample: Waveform) -> list[dict[str, Any]]:
    return [
        {"name": f"format {format}", "kbps": round(len(encoded(sample, format)) * 8 / sample.duration_s / 1000, 1)}
        for format in MEDIA_TYPES
    ]
