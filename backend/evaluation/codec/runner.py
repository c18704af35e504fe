"""Runs a codec evaluation: every file through every codec and every metric."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backend.atomic_file import file_sha256
from backend.audio.files import read_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadAudio, BadSettings, LimitExceeded, ScoreUnavailable
from backend.evaluation.codec.metrics import RATE_HZ, Metric, MetricScore, Pair
from backend.evaluation.codec.systems import CodedAudio, System
from backend.evaluation.result_cache import ResultCache
from backend.metrics.alignment import find_lag, overlap
from backend.metrics.reconstruction import kbps

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
MAX_DURATION_S = 120.0
# A codec's delay is constant; each file estimates it within milliseconds, the median of several exactly.
N_DELAY_SOUNDS = 9
DELAY_SOUND_S = 20.0

Report = Callable[[int, int, str], None]  # done, total, current step


@dataclass(frozen=True, slots=True)
class CodecResult:
    """One file through one codec. `problems` holds the reason for each metric without a score."""

    system: str
    payload_bytes: int | None
    file_bytes: int | None
    payload_kbps: float | None
    file_kbps: float | None
    bandwidth_hz: float
    lag_ms: float
    scores: dict[str, MetricScore]
    problems: dict[str, str]


@dataclass(slots=True)
class SoundResult:
    """One file through all codecs. `failures` lists codecs that rejected it."""

    file: str
    duration_s: float
    rate_hz: int
    results: list[CodecResult] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class CodecEvaluation:
    """All results of a run. `skipped` maps unreadable files to the reason."""

    sounds: list[SoundResult]
    skipped: dict[str, str]


def find_sounds(folder: Path, limit: int | None = None) -> list[Path]:
    """Returns the audio files below a folder, by name; with a `limit`, that many spread evenly over the list.

    Raises `BadSettings` if there are none.
    """
    if not folder.is_dir():
        raise BadSettings(f"'{folder.name}' is not a folder; --audio takes a folder of audio files. Check the path.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise BadSettings(f"'{folder.name}' has no audio files ({', '.join(sorted(SUFFIXES))}). Check the path.")
    return files if limit is None else spread(files, limit)


def read_transcripts(manifest: Path) -> dict[str, str]:
    """Reads transcripts by file name without suffix, from JSON lines with `file` and `text`."""
    try:
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {Path(row["file"]).stem: str(row["text"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSettings(
            f"'{manifest.name}' is not a list of transcripts ({type(error).__name__}); expected one JSON object with "
            "'file' and 'text' on each line. Check the file."
        ) from error


def evaluate(
    files: list[Path], root: Path, systems: list[System], metrics: list[Metric], *,
    transcripts: dict[str, str] | None = None, cache: ResultCache | None = None, report: Report | None = None,
    rate_hz: int = RATE_HZ,
) -> CodecEvaluation:  # fmt: skip
    """Encodes, decodes and scores every file. Unreadable or rejected files are listed in the outcome."""
    cache = cache or ResultCache(None)
    if report is not None:
        report(0, len(files) * len(systems), "codec delays")
    delays = {system.name: measure_delay(system, files, rate_hz) for system in systems}
    outcome = CodecEvaluation([], {})
    n_steps, n_done = len(files) * len(systems), 0
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            sound = read_audio(file, max_duration_s=MAX_DURATION_S).mono()
        except (BadAudio, LimitExceeded) as error:
            outcome.skipped[name] = str(error)
            n_done += len(systems)
            continue
        sound_hash = file_sha256(file)
        text = (transcripts or {}).get(file.stem)
        sound_result = SoundResult(name, sound.duration_s, sound.rate_hz)
        for system in systems:
            if report is not None:
                report(n_done, n_steps, f"{name}: {system.name}")
            try:
                sound_result.results.append(
                    _result(sound, sound_hash, system, delays[system.name], metrics, text, cache, rate_hz)
                )
            except BadAudio as error:
                sound_result.failures[system.name] = str(error)
            n_done += 1
        outcome.sounds.append(sound_result)
    if report is not None:
        report(n_done, n_steps, "")
    return outcome


def measure_delay(system: System, files: list[Path], rate_hz: int = RATE_HZ) -> int:
    """Returns a codec's delay in samples at `rate_hz`: the median over files spread over the list."""
    lags = []
    for file in spread(files, N_DELAY_SOUNDS):
        try:
            sound = read_audio(file, max_duration_s=MAX_DURATION_S).mono().slice_s(0, DELAY_SOUND_S)
            lags.append(find_lag(*_at_rate(sound, system.code(sound).decoded, rate_hz), rate_hz))
        except (BadAudio, LimitExceeded):
            # `evaluate` reports it.
            continue
    return round(median(lags)) if lags else 0


def spread(files: list[Path], limit: int) -> list[Path]:
    """Returns at most `limit` of the files, evenly over the list."""
    return files if limit >= len(files) else [files[i * len(files) // limit] for i in range(limit)]


def _result(
    sound: Waveform, sound_hash: str, system: System, delay: int, metrics: list[Metric], text: str | None,
    cache: ResultCache, rate_hz: int,
) -> CodecResult:  # fmt: skip
    """Returns a result, with scores from the cache where they exist."""
    identities = {
        metric.name: f"{metric.identity} {text}" if metric.is_text_used else metric.identity for metric in metrics
    }
    key = f"{system.identity} delay {delay}" + ("" if rate_hz == RATE_HZ else f" at {rate_hz}")
    entry = cache.read(sound_hash, key)
    cached = {} if entry is None else entry["scores"]
    missing = [metric for metric in metrics if identities[metric.name] not in cached]
    if entry is None or missing:
        coded = system.code(sound)
        pair = Pair(*overlap(*_at_rate(sound, coded.decoded, rate_hz), delay), text)
        computed = {identities[metric.name]: _score(metric, pair) for metric in missing}
        entry = {"facts": _facts(sound, coded, delay, rate_hz), "scores": {**cached, **computed}}
        cache.write(sound_hash, key, entry)
    values = {metric.name: entry["scores"][identities[metric.name]] for metric in metrics}
    return CodecResult(
        system.name,
        **entry["facts"],
        scores={name: MetricScore(*value) for name, value in values.items() if not isinstance(value, str)},
        problems={name: value for name, value in values.items() if isinstance(value, str)},
    )


def _at_rate(sound: Waveform, decoded: Waveform, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    return resample(sound, rate_hz).samples[0], resample(decoded, rate_hz).samples[0]


def _score(metric: Metric, pair: Pair) -> list[float] | str:
    """Returns a score as [value, weight], or the reason why there is none."""
    try:
        return list(metric.score(pair))
    except ScoreUnavailable as error:
        return str(error)


def _facts(sound: Waveform, coded: CodedAudio, delay: int, rate_hz: int) -> dict[str, Any]:
    """Returns the fields of a `CodecResult` other than scores."""
    return {
        "payload_bytes": coded.payload_bytes,
        "file_bytes": coded.file_bytes,
        "payload_kbps": None if coded.payload_bytes is None else kbps(coded.payload_bytes, sound.duration_s),
        "file_kbps": None if coded.file_bytes is None else kbps(coded.file_bytes, sound.duration_s),
        "bandwidth_hz": float(coded.bandwidth_hz),
        "lag_ms": delay * 1000 / rate_hz,
    }


def as_json(sound: SoundResult) -> dict[str, Any]:
    """Returns a file's results in the JSON layout of a report."""
    results = []
    for result in sound.results:
        fields = asdict(result)
        fields["scores"] = {name: score.value for name, score in result.scores.items()}
        results.append(fields)
    return {"file": sound.file, "duration_s": sound.duration_s, "rate_hz": sound.rate_hz,
            "results": results, "failures": sound.failures}  # fmt: skip
