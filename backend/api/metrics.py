"""Server metrics: a Prometheus registry with the same values as JSON, and the playback clock of a speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from itertools import accumulate
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from backend.lm.runaway import REASONS

Outcome = Literal["done", "cancelled", "failed", "refused"]

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 21, 34, 60, 120, 300)
GAPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
# Shorter gaps are inaudible and occur on every network.
MIN_UNDERRUN_S = 0.02


@dataclass(slots=True)
class PlaybackClock:
    """Simulates a client that plays each chunk on arrival: when playback starts, and when it runs out of audio.

    All times are on one clock; `arrived_s` is when the request came in. All values are zero until a chunk is sent.
    """

    arrived_s: float
    first_audio_s: float = 0.0  # from the request
    total_s: float = 0.0  # from the request to the last chunk
    n_underruns: int = 0
    underrun_s: float = 0.0  # total unintended silence
    longest_underrun_s: float = 0.0
    _runs_out_s: float | None = None

    def sent(self, duration_s: float, at_s: float) -> None:
        """Records a chunk sent at `at_s`."""
        if self._runs_out_s is None:
            self.first_audio_s = at_s - self.arrived_s
            self._runs_out_s = at_s
        self.total_s = at_s - self.arrived_s
        gap_s = at_s - self._runs_out_s
        if gap_s > MIN_UNDERRUN_S:
            self.n_underruns += 1
            self.underrun_s += gap_s
            self.longest_underrun_s = max(self.longest_underrun_s, gap_s)
        self._runs_out_s = max(self._runs_out_s, at_s) + duration_s

    def ahead_s(self, now_s: float) -> float:
        """Returns the seconds of audio that were sent and not played yet."""
        return 0.0 if self._runs_out_s is None else max(0.0, self._runs_out_s - now_s)


class ServerMetrics:
    """Prometheus metrics of one application. Each application has its own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "phonogram_requests", "Completed requests", ["route", "method", "status"], registry=registry
        )
        self.request_s = Histogram(
            "phonogram_request_seconds",
            "Time to the end of the response",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.speeches = Counter("phonogram_speeches", "Speech requests by outcome", ["outcome"], registry=registry)
        self.open_speeches = Gauge("phonogram_open_speeches", "Speech requests running or queued", registry=registry)
        self.first_audio_s = _histogram(
            "first_audio_seconds", "Time from the request to the first audio sent", registry
        )
        self.total_s = _histogram("speech_seconds", "Time from the request to the last audio sent", registry)
        self.underruns = Counter(
            "phonogram_underruns", "Playback buffer underruns of streaming clients", registry=registry
        )
        self.underrun_s = Counter("phonogram_underrun_seconds", "Total duration of underruns", registry=registry)
        self.longest_underrun_s = Histogram(
            "phonogram_longest_underrun_seconds",
            "Longest underrun of each streamed speech, 0 for none",
            buckets=GAPS,
            registry=registry,
        )
        self.queue_s = _histogram("queue_seconds", "Time in the queue", registry)
        self.stage_s = Histogram(
            "phonogram_stage_seconds", "Time in each stage", ["stage"], buckets=SECONDS, registry=registry
        )
        self.rtf = Histogram(
            "phonogram_real_time_factor",
            "Time from the request to the last audio sent, per second of audio",
            buckets=FACTORS,
            registry=registry,
        )
        self.audio_s = Counter("phonogram_audio_seconds", "Seconds of audio generated", registry=registry)
        self.frames = Counter("phonogram_frames", "Code frames generated", registry=registry)
        self.ends = Counter("phonogram_ends", "Speech requests by finish reason", ["reason"], registry=registry)
        self.retries = Counter(
            "phonogram_retries", "Text segments generated again after runaway detection", registry=registry
        )
        self.music = Counter("phonogram_music", "Pieces of music by outcome", ["outcome"], registry=registry)
        self.open_music = Gauge("phonogram_open_music", "Pieces of music being made", registry=registry)
        self.music_audio_s = Counter("phonogram_music_audio_seconds", "Seconds of music generated", registry=registry)
        for reason in REASONS:
            self.ends.labels(reason)
        for outcome in ("done", "cancelled", "failed", "refused"):
            self.speeches.labels(outcome)
            self.music.labels(outcome)

    def observe_speech(self, metrics: Any, playback: PlaybackClock, is_streamed: bool) -> None:
        """Records a completed speech: the client-side times and the times of its stages."""
        self.first_audio_s.observe(playback.first_audio_s)
        self.total_s.observe(playback.total_s)
        self.rtf.observe(playback.total_s / max(metrics.audio_s, 1e-3))
        if is_streamed:
            self.underruns.inc(playback.n_underruns)
            self.underrun_s.inc(playback.underrun_s)
            self.longest_underrun_s.observe(playback.longest_underrun_s)
        self.queue_s.observe(metrics.queue_s)
        self.audio_s.inc(metrics.audio_s)
        self.frames.inc(metrics.frames)
        self.ends.labels(metrics.finish_reason).inc()
        self.retries.inc(metrics.retries)
        for stage in ("reference", "semantic", "synthesis"):
            self.stage_s.labels(stage).observe(getattr(metrics, f"{stage}_s"))

    def as_text(self, status: Any) -> bytes:
        """Returns all metrics in the Prometheus text format; the numbers of the engine's `status` become gauges."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(BatchSizes(getattr(status, "batch", None)))
        for path, value in numbers_of(status):
            Gauge(f"phonogram_engine_{path}", "Reported by the engine", registry=registry).set(value)
        return generate_latest(self.registry) + generate_latest(registry)

    def as_json(self) -> dict[str, Any]:
        """Returns all metrics without histogram buckets: a number per name, or a list of labeled values."""
        values: dict[str, Any] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name.endswith(("_bucket", "_created")):
                    continue
                if sample.labels:
                    values.setdefault(sample.name, []).append({**sample.labels, "value": sample.value})
                else:
                    values[sample.name] = sample.value
        return values


class BatchSizes(Collector):
    """Histogram of the batch size of each language model step."""

    def __init__(self, batch: Any) -> None:
        self._steps = () if batch is None else batch.steps_by_rows

    def collect(self) -> Iterator[HistogramMetricFamily]:
        buckets = [(str(rows), float(n)) for rows, n in enumerate(accumulate(self._steps), 1)]
        total = float(sum(rows * n for rows, n in enumerate(self._steps, 1)))
        family = HistogramMetricFamily("phonogram_batch_rows", "Batch size of a language model step")
        family.add_metric([], [*buckets, ("+Inf", float(sum(self._steps)))], total)
        yield family


def numbers_of(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yields each number in a dataclass or dict with its path, joined by underscores."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_of(inner, f"{path}_{key}" if path else str(key))
    elif isinstance(value, bool | int | float):
        name = "".join(character if character.isascii() and character.isalnum() else "_" for character in path)
        yield name, float(value)


def _histogram(name: str, text: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"phonogram_{name}", text, buckets=SECONDS, registry=registry)
