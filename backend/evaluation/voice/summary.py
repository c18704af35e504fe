"""Summary of a voice evaluation, one row per system: word errors, skips, loops, similarity, pitch, duration, speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from backend.evaluation.voice.runner import SentenceResult, VoiceEvaluation
from backend.metrics.bootstrap import bootstrap_mean

Row = dict[str, Any]


def summarize_voices(
    outcome: VoiceEvaluation, systems: Sequence[str], metrics: Sequence[str], teacher: str
) -> list[Row]:
    """Returns the rows in the order of `systems`. Durations are relative to the takes of the system `teacher`."""
    durations = {(take.text, take.voice): take.audio_s for take in outcome.takes if take.system == teacher}
    rows = []
    for system in systems:
        takes = [take for take in outcome.takes if take.system == system]
        n_failed = sum(name == system for name, _, _ in outcome.failures)
        if takes or n_failed:
            rows.append(
                {"system": system, "n_takes": len(takes), "n_failed": n_failed, **_row(takes, metrics, durations)}
            )
    return rows


def _row(takes: list[SentenceResult], metrics: Sequence[str], durations: dict[tuple[str, str | None], float]) -> Row:
    audio_s = sum(take.audio_s for take in takes)
    timed = [take for take in takes if take.total_s is not None]
    ratios = [
        np.log(take.audio_s / durations[take.text, take.voice])
        for take in takes if durations.get((take.text, take.voice)) and take.audio_s
    ]  # fmt: skip
    return {
        "audio_s": audio_s,
        "asr": {name: _error_rates(takes, name) for name in metrics if name.startswith("asr:")},
        # By any recognizer, since one may miss what another finds.
        "takes_with_skips": _n_takes_with(takes, "skips"),
        "takes_with_loops": _n_takes_with(takes, "loops"),
        "takes_cut": sum(take.is_cut for take in takes),
        "likeness": _mean(takes, "likeness", "likeness"),
        "nearest_share": _mean(takes, "likeness", "is_nearest"),
        "dnsmos": _mean(takes, "dnsmos", "dnsmos"),
        "pitch_spread_semitones": _mean(takes, "melody", "spread_semitones"),
        "duration_ratio": float(np.exp(np.mean(ratios))) if ratios else None,
        "duration_deviation": float(np.std(ratios)) if ratios else None,
        "rtf": sum(take.total_s or 0 for take in timed) / max(sum(take.audio_s for take in timed), 1e-9) if timed else None,
        "first_audio_median_s": _quantile(timed, 0.5),
        "first_audio_p95_s": _quantile(timed, 0.95),
    }  # fmt: skip


def _error_rates(takes: list[SentenceResult], metric: str) -> Row | None:
    facts = [take.facts[metric] for take in takes if metric in take.facts]
    if not facts:
        return None

    def pooled(edits: str, total: str) -> dict[str, float]:
        sizes = np.array([fact[total] for fact in facts], float)
        return bootstrap_mean(np.array([fact[edits] for fact in facts]) / sizes, sizes)._asdict()

    return {"wer": pooled("word_edits", "words"), "cer": pooled("character_edits", "characters")}


def _n_takes_with(takes: list[SentenceResult], what: str) -> int:
    return sum(any(facts.get(what, 0) for facts in take.facts.values()) for take in takes)


def _mean(takes: list[SentenceResult], metric: str, fact: str) -> dict[str, float] | None:
    found = [float(take.facts[metric][fact]) for take in takes if fact in take.facts.get(metric, {})]
    return bootstrap_mean(np.array(found))._asdict() if found else None


def _quantile(takes: list[SentenceResult], part: float) -> float | None:
    times = [take.first_audio_s for take in takes if take.first_audio_s is not None]
    return float(np.quantile(times, part)) if times else None


def as_markdown(rows: list[Row], metrics: Sequence[str]) -> str:
    """Renders the rows as a Markdown table."""
    asr = [name for name in metrics if name.startswith("asr:")]
    columns: list[tuple[str, Callable[[Row], str]]] = [("system", lambda row: row["system"]),
                                                       ("takes", lambda row: str(row["n_takes"]))]  # fmt: skip
    for name in asr:
        short = name.removeprefix("asr:")
        columns += [
            (f"WER {short}", partial(_percent, name, "wer")),
            (f"CER {short}", partial(_percent, name, "cer")),
        ]  # fmt: skip
    columns += [
        ("skips", lambda row: str(row["takes_with_skips"]) if asr else "-"),
        ("loops", lambda row: str(row["takes_with_loops"]) if asr else "-"),
        ("cut / failed", lambda row: f"{row['takes_cut']} / {row['n_failed']}"),
        ("similarity", lambda row: _interval(row["likeness"])),
        ("nearest", lambda row: "-" if row["nearest_share"] is None else f"{row['nearest_share']['mean']:.0%}"),
        ("DNSMOS", lambda row: _interval(row["dnsmos"])),
        ("pitch spread, st", lambda row: _interval(row["pitch_spread_semitones"])),
        ("duration / teacher", lambda row: "-" if row["duration_ratio"] is None
         else f"{row['duration_ratio']:.2f} ± {row['duration_deviation']:.2f}"),
        ("RTF", lambda row: "-" if row["rtf"] is None else f"{row['rtf']:.3f}"),
        ("first audio, s", lambda row: "-" if row["first_audio_median_s"] is None
         else f"{row['first_audio_median_s']:.3f} (p95 {row['first_audio_p95_s']:.3f})"),
    ]  # fmt: skip
    lines = [[name for name, _ in columns], ["---"] * len(columns)]
    lines += [[cell(row) for _, cell in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(metric: str, rate: str, row: Row) -> str:
    if row["asr"].get(metric) is None:
        return "-"
    found = row["asr"][metric][rate]
    return f"{100 * found['mean']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _interval(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
