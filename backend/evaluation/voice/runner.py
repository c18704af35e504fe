"""Runs a voice evaluation: every prompt is synthesized once, saved, and scored by every metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.audio.files import read_audio, write_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadAudio, BadSettings, EngineFailure, ScoreUnavailable
from backend.evaluation.codec.runner import spread
from backend.evaluation.result_cache import ResultCache
from backend.evaluation.voice.metrics import RATE_HZ, VoiceMetric
from backend.evaluation.voice.systems import VoicePrompt, VoiceSystem, text_key

Report = Callable[[int, int, str], None]  # done, total, current step


@dataclass(frozen=True, slots=True)
class SentenceResult:
    """One synthesized and scored prompt. `facts` holds each metric's values by name, `problems` the reason if it has
    none.
    """

    system: str
    text: str
    voice: str | None
    seed: int
    file: Path
    audio_s: float
    total_s: float | None
    first_audio_s: float | None
    is_cut: bool
    facts: dict[str, dict[str, Any]]
    problems: dict[str, str]


@dataclass(slots=True)
class VoiceEvaluation:
    """All results of a run. `failures` are prompts that could not be synthesized: system, text, reason."""

    takes: list[SentenceResult] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)


def read_sentences(file: Path, limit: int | None = None) -> list[str]:
    """Reads a JSON list of sentences; with a `limit`, that many spread evenly. Raises `BadSettings` for anything else."""
    try:
        sentences = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSettings(
            f"'{file.name}' cannot be read as JSON ({type(error).__name__}); expected a list of sentences."
        ) from error
    if (
        not isinstance(sentences, list)
        or not sentences
        or not all(isinstance(text, str) and text.strip() for text in sentences)
    ):
        raise BadSettings(f"'{file.name}' is not a list of sentences; expected JSON such as [\"Hello.\"].")
    return sentences if limit is None else [sentences[i] for i in _evenly(len(sentences), limit)]


def evaluate_voices(
    systems: Sequence[VoiceSystem], texts: list[str], metrics: Sequence[VoiceMetric], folder: Path, *,
    seed: int = 0, limit: int | None = None, report: Report | None = None,
) -> VoiceEvaluation:  # fmt: skip
    """Synthesizes and scores all prompts. Audio and scores are kept in `folder`, so that an interrupted run resumes.

    `limit` also applies to recordings that have their own texts.
    """
    cache = ResultCache(folder)
    outcome = VoiceEvaluation()
    work = []
    for system in systems:
        prompts = system.prompts(texts, seed)
        if limit is not None:
            prompts = [prompts[i] for i in _evenly(len(prompts), limit)]
        work += [(system, prompt) for prompt in prompts]
    for number, (system, prompt) in enumerate(work):
        if report is not None:
            report(number, len(work), f"{system.name}: {prompt.text[:40]}")
        try:
            outcome.takes.append(_take(system, prompt, metrics, folder, cache))
        except (BadAudio, EngineFailure) as error:
            outcome.failures.append((system.name, prompt.text, str(error)))
    if report is not None:
        report(len(work), len(work), "")
    return outcome


def _evenly(count: int, limit: int) -> list[int]:
    return [int(path.name) for path in spread([Path(str(i)) for i in range(count)], limit)]


def _take(
    system: VoiceSystem, prompt: VoicePrompt, metrics: Sequence[VoiceMetric], folder: Path, cache: ResultCache
) -> SentenceResult:
    key = text_key(system.identity, prompt.voice, prompt.seed, prompt.text)
    file = folder / f"{key}.flac"
    entry = cache.read(key, system.identity)
    if entry is None or not file.is_file():
        take = system.speak(prompt)
        write_audio(file, take.waveform)
        entry = {
            "take": {"audio_s": take.waveform.duration_s, "total_s": take.total_s,
                     "first_audio_s": take.first_audio_s, "is_cut": take.is_cut},
            "scores": {},
        }  # fmt: skip
        cache.write(key, system.identity, entry)
    missing = [metric for metric in metrics if metric.identity not in entry["scores"]]
    if missing:
        samples = resample(Waveform.mono(read_audio(file)), RATE_HZ).samples[0]
        for metric in missing:
            try:
                entry["scores"][metric.identity] = metric.measure(samples, prompt)
            except ScoreUnavailable as error:
                entry["scores"][metric.identity] = str(error)
        cache.write(key, system.identity, entry)
    values = {metric.name: entry["scores"][metric.identity] for metric in metrics}
    return SentenceResult(
        system.name, prompt.text, prompt.voice, prompt.seed, file, **entry["take"],
        facts={name: value for name, value in values.items() if isinstance(value, dict)},
        problems={name: value for name, value in values.items() if isinstance(value, str)},
    )  # fmt: skip
