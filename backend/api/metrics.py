"""What the server counts: a registry for Prometheus, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from itertools import accumulate
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from backend.api.speech.playback_clock import PlaybackClock
from backend.lm.runaway import REASONS

Outcome = Literal["done", "cancelled", "failed", "refused"]

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 21, 34, 60, 120, 300)
GAPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


class ServerMetrics:
    """One registry per application, so that two in one process do not add up."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "phonogram_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self.request_s = Histogram(
            "phonogram_request_seconds", "Time to the end of the answer", ["route"], buckets=SECONDS, registry=registry
        )
        self.speeches = Counter("phonogram_speeches", "Speeches by how they ended", ["outcome"], registry=registry)
        self.open_speeches = Gauge("phonogram_open_speeches", "Speeches being made or waiting", registry=registry)
        self.first_audio_s = _histogram("first_audio_seconds", "From the request to the first sound sent", registry)
        self.total_s = _histogram("speech_seconds", "From the request to the last sound sent", registry)
        self.underruns = Counter(
            "phonogram_underruns", "Times a listener who plays what comes ran out of sound", registry=registry
        )
        self.underrun_s = Counter("phonogram_underrun_seconds", "How long that was, together", registry=registry)
        self.longest_underrun_s = Histogram(
            "phonogram_longest_underrun_seconds", "Of each streamed speech, 0 for none", buckets=GAPS, registry=registry
        )
        self.queue_s = _histogram("queue_seconds", "Waiting for a free place", registry)
        self.stage_s = Histogram(
            "phonogram_stage_seconds", "Time in one stage", ["stage"], buckets=SECONDS, registry=registry
        )
        self.rtf = Histogram(
            "phonogram_real_time_factor",
            "From the request to the last sound sent, for a second of sound",
            buckets=FACTORS,
            registry=registry,
        )
        self.audio_s = Counter("phonogram_audio_seconds", "Sound made", registry=registry)
        self.frames = Counter("phonogram_frames", "Frames of codes made", registry=registry)
        self.ends = Counter("phonogram_ends", "Speeches by why they ended", ["reason"], registry=registry)
        self.retries = Counter(
            "phonogram_retries", "Pieces of text that ran away and were begun again", registry=registry
        )
        for reason in REASONS:
            self.ends.labels(reason)
        for outcome in ("done", "cancelled", "failed", "refused"):
            self.speeches.labels(outcome)

    def observe_speech(self, metrics: Any, playback: PlaybackClock, is_streamed: bool) -> None:
        """Count one speech that came to its end: its times as a client measures them, and those of its stages."""
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
        """Everything in the text format of Prometheus; numbers of the engine's `status` come along as gauges."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(BatchSizes(getattr(status, "batch", None)))
        for path, value in numbers_of(status):
            Gauge(f"phonogram_engine_{path}", "As the engine reports it", registry=registry).set(value)
        return generate_latest(self.registry) + generate_latest(registry)

    def as_json(self) -> dict[str, Any]:
        """Everything but the buckets: a number for each name, or a list of labels and numbers."""
        found: dict[str, Any] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name.endswith(("_bucket", "_created")):
                    continue
                if sample.labels:
                    found.setdefault(sample.name, []).append({**sample.labels, "value": sample.value})
                else:
                    found[sample.name] = sample.value
        return found


class BatchSizes(Collector):
    """How many requests shared each step of the language model, as a histogram."""

    def __init__(self, batch: Any) -> None:
        self._steps = () if batch is None else batch.steps_by_rows

    def collect(self) -> Iterator[HistogramMetricFamily]:
        buckets = [(str(rows), float(n)) for rows, n in enumerate(accumulate(self._steps), 1)]
        total = float(sum(rows * n for rows, n in enumerate(self._steps, 1)))
        family = HistogramMetricFamily("phonogram_batch_rows", "Requests that shared a step of the language model")
        family.add_metric([], [*buckets, ("+Inf", float(sum(self._steps)))], total)
        yield family


def numbers_of(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers inside a dataclass or dict, each with its path joined by underscores."""
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
