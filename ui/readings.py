"""What the dashboard shows: one look at the backend's measures, and a history of such looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ui.client import BackendClient

# Half an hour of looks, one every two seconds.
MAX_READINGS = 900
MIN_GAP_S = 1.0


@dataclass(frozen=True, slots=True)
class MetricsReading:
    """One look. What the backend does not tell is None: readings of a card without a card, say.

    `when_s` is the time of day since 1970. `frames_per_s` counts all requests since the look before.
    """

    when_s: float
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
    card_percent: float | None = None
    card_memory_percent: float | None = None


def reading_of(measures: Mapping[str, Any], when_s: float, before: MetricsReading | None = None) -> MetricsReading:
    """The answer of `GET /metrics?format=json` as a reading; `before` is the look to count frames from."""
    engine = measures.get("engine")
    n_frames = _number(engine, "batch", "frames")
    cores = _number(engine, "process", "cores") or 1.0
    cpu = _number(engine, "process", "cpu_percent")
    return MetricsReading(
        when_s=when_s,
        model=engine.get("model") if isinstance(engine, Mapping) else None,
        done=_number(engine, "counts", "done"),
        failed=_number(engine, "counts", "failed"),
        refused=_number(engine, "counts", "refused"),
        audio_s=_number(engine, "counts", "audio_s"),
        frames=n_frames,
        frames_per_s=_rate(n_frames, when_s, before),
        waiting=_number(engine, "batch", "waiting"),
        active=_number(engine, "batch", "active"),
        rows=_number(engine, "batch", "rows"),
        first_audio_p50_ms=_times(_tallied(engine, "first_audio_s", "p50"), 1000),
        first_audio_p95_ms=_times(_tallied(engine, "first_audio_s", "p95"), 1000),
        first_audio_last_ms=_times(_tallied(engine, "first_audio_s", "last"), 1000),
        rtf_p50=_tallied(engine, "rtf", "p50"),
        cpu_percent=None if cpu is None else min(100.0, cpu / cores),
        memory_mb=_number(engine, "process", "memory_mb"),
        machine_memory_percent=_share(engine, "process", "machine_memory_used_mb", "machine_memory_total_mb"),
        card_percent=_number(engine, "card", "load_percent"),
        card_memory_percent=_share(engine, "card", "memory_used_mb", "memory_total_mb"),
    )


class History:
    """The last readings of one backend, shared by everyone who looks; nobody looking, nothing is asked."""

    def __init__(self) -> None:
        self._readings: deque[MetricsReading] = deque(maxlen=MAX_READINGS)
        self._lock = threading.Lock()

    def look(self, client: BackendClient) -> list[MetricsReading]:
        """Every reading so far, with a new one at the end if the last is old. Raises `BackendError`."""
        with self._lock:
            before = self._readings[-1] if self._readings else None
            if before is None or time.time() - before.when_s >= MIN_GAP_S:
                self._readings.append(reading_of(client.metrics(), time.time(), before))
            return list(self._readings)


def _number(engine: Any, *path: str) -> float | None:
    for name in path:
        engine = engine.get(name) if isinstance(engine, Mapping) else None
    return float(engine) if isinstance(engine, int | float) else None


def _tallied(engine: Any, name: str, what: str) -> float | None:
    """Before the first speech a tally is all zeros, which would read as a very fast one."""
    return _number(engine, "counts", name, what) if _number(engine, "counts", name, "count") else None


def _share(engine: Any, part: str, used: str, total: str) -> float | None:
    used_mb, total_mb = _number(engine, part, used), _number(engine, part, total)
    return None if used_mb is None or not total_mb else 100 * used_mb / total_mb


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _rate(n_frames: float | None, when_s: float, before: MetricsReading | None) -> float | None:
    if n_frames is None or before is None or before.frames is None or when_s <= before.when_s:
        return None
    # A backend that was started anew counts from zero.
    return max(0.0, n_frames - before.frames) / (when_s - before.when_s)
