"""Samples of the backend's metrics, and their history for the dashboard."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ui.client import BackendClient

# Half an hour at one sample every two seconds.
MAX_SAMPLES = 900
MIN_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class MetricsSample:
    """The metrics at one moment. Values the backend does not report are None, such as those of a missing GPU.

    `time_s` is in seconds since 1970. `frames_per_s` covers all requests since the previous sample.
    """

    time_s: float
    model: str | None = None
    done: float | None = None
    failed: float | None = None
    refused: float | None = None
    audio_s: float | None = None
    frames: float | None = None
    frames_per_s: float | None = None
    waiting: float | None = None
    active: float | None = None
    rows: float | None = None
    first_audio_p50_ms: float | None = None
    first_audio_p95_ms: float | None = None
    first_audio_last_ms: float | None = None
    rtf_p50: float | None = None
    cpu_percent: float | None = None
    memory_mb: float | None = None
    machine_memory_percent: float | None = None
    gpu_percent: float | None = None
    gpu_memory_percent: float | None = None


def sample_of(metrics: Mapping[str, Any], time_s: float, previous: MetricsSample | None = None) -> MetricsSample:
    """Convert the response of `GET /metrics?format=json`; `previous` is the sample to count frames from."""
    engine = metrics.get("engine")
    n_frames = _number(engine, "batch", "frames")
    cores = _number(engine, "process", "cores") or 1.0
    cpu = _number(engine, "process", "cpu_percent")
    return MetricsSample(
        time_s=time_s,
        model=engine.get("model") if isinstance(engine, Mapping) else None,
        done=_number(engine, "counts", "done"),
        failed=_number(engine, "counts", "failed"),
        refused=_number(engine, "counts", "refused"),
        audio_s=_number(engine, "counts", "audio_s"),
        frames=n_frames,
        frames_per_s=_rate(n_frames, time_s, previous),
        waiting=_number(engine, "batch", "waiting"),
        active=_number(engine, "batch", "active"),
        rows=_number(engine, "batch", "rows"),
        first_audio_p50_ms=_times(_counter(engine, "first_audio_s", "p50"), 1000),
        first_audio_p95_ms=_times(_counter(engine, "first_audio_s", "p95"), 1000),
        first_audio_last_ms=_times(_counter(engine, "first_audio_s", "last"), 1000),
        rtf_p50=_counter(engine, "rtf", "p50"),
        cpu_percent=None if cpu is None else min(100.0, cpu / cores),
        memory_mb=_number(engine, "process", "memory_mb"),
        machine_memory_percent=_share(engine, "process", "machine_memory_used_mb", "machine_memory_total_mb"),
        gpu_percent=_number(engine, "card", "load_percent"),
        gpu_memory_percent=_share(engine, "card", "memory_used_mb", "memory_total_mb"),
    )


class MetricsHistory:
    """The last samples of one backend, shared by all visitors; sampled only on request."""

    def __init__(self) -> None:
        self._samples: deque[MetricsSample] = deque(maxlen=MAX_SAMPLES)
        self._lock = threading.Lock()

    def update(self, client: BackendClient) -> list[MetricsSample]:
        """Return all samples, with a new one if the last is old enough. Raises `BackendError`."""
        with self._lock:
            previous = self._samples[-1] if self._samples else None
            if previous is None or time.time() - previous.time_s >= MIN_INTERVAL_S:
                self._samples.append(sample_of(client.metrics(), time.time(), previous))
            return list(self._samples)


def _number(engine: Any, *path: str) -> float | None:
    for name in path:
        engine = engine.get(name) if isinstance(engine, Mapping) else None
    return float(engine) if isinstance(engine, int | float) else None


def _counter(engine: Any, name: str, statistic: str) -> float | None:
    """Return None before the first request, when zeros would read as a very fast one."""
    return _number(engine, "counts", name, statistic) if _number(engine, "counts", name, "count") else None


def _share(engine: Any, part: str, used: str, total: str) -> float | None:
    used_mb, total_mb = _number(engine, part, used), _number(engine, part, total)
    return None if used_mb is None or not total_mb else 100 * used_mb / total_mb


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _rate(n_frames: float | None, time_s: float, previous: MetricsSample | None) -> float | None:
    if n_frames is None or previous is None or previous.frames is None or time_s <= previous.time_s:
        return None
    # A restarted backend counts from zero.
    return max(0.0, n_frames - previous.frames) / (time_s - previous.time_s)
