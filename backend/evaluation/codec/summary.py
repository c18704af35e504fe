"""Means over files with confidence intervals, and paired differences between codecs."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

from backend.evaluation.codec.metrics import Metric
from backend.evaluation.codec.runner import CodecEvaluation, CodecResult
from backend.metrics.bootstrap import Interval, bootstrap_mean
from backend.metrics.reconstruction import kbps


def summarize(outcome: CodecEvaluation, systems: list[str], metrics: list[Metric]) -> list[dict[str, Any]]:
    """Returns one row per codec: bitrates over all its files, bandwidth, delay, and each metric's mean with interval."""
    rows = []
    for system in systems:
        found = [(sound, result) for sound in outcome.sounds for result in sound.results if result.system == system]
        if not found:
            continue
        duration_s = sum(sound.duration_s for sound, _ in found)
        payload = [result.payload_bytes for _, result in found if result.payload_bytes is not None]
        file = [result.file_bytes for _, result in found if result.file_bytes is not None]
        rows.append({
            "system": system,
            "n_files": len(found),
            "duration_s": duration_s,
            "payload_kbps": kbps(sum(payload), duration_s) if payload else None,
            "file_kbps": kbps(sum(file), duration_s) if file else None,
            "bandwidth_hz": median(result.bandwidth_hz for _, result in found),
            "lag_ms": median(result.lag_ms for _, result in found),
            "scores": {
                metric.name: interval._asdict()
                for metric in metrics
                if (interval := _mean([result for _, result in found], metric.name)) is not None
            },
        })  # fmt: skip
    return rows


def compare(
    outcome: CodecEvaluation, ours: list[str], others: list[str], metrics: list[Metric]
) -> list[dict[str, Any]]:
    """Returns paired differences, ours minus the other. `is_clear`: the interval excludes 0."""
    rows = []
    by_sound = [{result.system: result for result in sound.results} for sound in outcome.sounds]
    for system in ours:
        for other in others:
            for metric in metrics:
                pairs = [
                    (results[system].scores[metric.name], results[other].scores[metric.name])
                    for results in by_sound
                    if metric.name in getattr(results.get(system), "scores", ())
                    and metric.name in getattr(results.get(other), "scores", ())
                ]
                if not pairs or not any(mine.weight for mine, _ in pairs):
                    continue
                difference = bootstrap_mean(
                    np.array([mine.value - theirs.value for mine, theirs in pairs]),
                    np.array([mine.weight for mine, _ in pairs]),
                )
                rows.append({
                    "system": system, "other": other, "judge": metric.name, **difference._asdict(),
                    "is_clear": not difference.low <= 0 <= difference.high,
                })  # fmt: skip
    return rows


def _mean(results: list[CodecResult], metric: str) -> Interval | None:
    scores = [result.scores[metric] for result in results if metric in result.scores]
    if not any(score.weight for score in scores):
        return None
    return bootstrap_mean(np.array([score.value for score in scores]), np.array([score.weight for score in scores]))
