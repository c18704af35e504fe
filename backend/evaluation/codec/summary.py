"""Means over files with their intervals, and differences between coders on the same files."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

from backend.evaluation.codec.metrics import Metric
from backend.evaluation.codec.runner import CodecEvaluation, CodecResult
from backend.metrics.bootstrap import Interval, bootstrap_mean
from backend.metrics.reconstruction import kbps


def summarize(outcome: CodecEvaluation, systems: list[str], judges: list[Metric]) -> list[dict[str, Any]]:
    """One row a coder: its rates over all its sounds, bandwidth, lag, and a mean with interval for each judge."""
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
                judge.name: interval._asdict()
                for judge in judges
                if (interval := _mean([result for _, result in found], judge.name)) is not None
            },
        })  # fmt: skip
    return rows


def compare(outcome: CodecEvaluation, ours: list[str], others: list[str], judges: list[Metric]) -> list[dict[str, Any]]:
    """Ours minus the other, on the sounds both have a score for. `is_clear`: the interval does not hold 0."""
    rows = []
    by_sound = [{result.system: result for result in sound.results} for sound in outcome.sounds]
    for system in ours:
        for other in others:
            for judge in judges:
                pairs = [
                    (results[system].scores[judge.name], results[other].scores[judge.name])
                    for results in by_sound
                    if judge.name in getattr(results.get(system), "scores", ())
                    and judge.name in getattr(results.get(other), "scores", ())
                ]
                if not pairs or not any(mine.weight for mine, _ in pairs):
                    continue
                difference = bootstrap_mean(
                    np.array([mine.value - theirs.value for mine, theirs in pairs]),
                    np.array([mine.weight for mine, _ in pairs]),
                )
                rows.append({
                    "system": system, "other": other, "judge": judge.name, **difference._asdict(),
                    "is_clear": not difference.low <= 0 <= difference.high,
                })  # fmt: skip
    return rows


def _mean(results: list[CodecResult], judge: str) -> Interval | None:
    scores = [result.scores[judge] for result in results if judge in result.scores]
    if not any(score.weight for score in scores):
        return None
    return bootstrap_mean(np.array([score.value for score in scores]), np.array([score.weight for score in scores]))
