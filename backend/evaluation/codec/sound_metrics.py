"""The metrics for sound that is not speech, and rows for each class of sound."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backend.errors import BadSettings
from backend.evaluation.codec.metrics import Metric, MetricScore, MetricSet, Pair, load_available
from backend.evaluation.codec.runner import CodecEvaluation
from backend.evaluation.codec.summary import summarize
from backend.metrics.music_similarity import chroma_similarity, onset_f1
from backend.metrics.note_f1 import DISTRIBUTION as NOTE_PACKAGE
from backend.metrics.note_f1 import NoteListener, note_f1
from backend.metrics.optional_packages import package_version
from backend.metrics.reconstruction import si_sdr_db
from backend.metrics.spectral_distance import log_mel_distance_db, multi_resolution_stft_distance, tonal_error_db
from backend.metrics.visqol_audio import VisqolAudio

LOW_BAND_HZ = 6000.0
MAX_RATE_HZ = 48_000


def open_sound_metrics(rate_hz: int) -> MetricSet:
    """Every metric for sound at `rate_hz` that this machine can compute, and the others with the reason."""

    def plain(name: str, title: str, better: str, compute: Callable[[np.ndarray, np.ndarray], float]) -> Any:
        return lambda: Metric(
            name, title, better, f"{name}-1 {rate_hz}",  # type: ignore[arg-type]
            lambda pair: MetricScore(compute(pair.reference, pair.decoded)),
        )  # fmt: skip

    return MetricSet(
        *load_available({
            "log_mel_db": plain("log_mel_db", "log-mel distance, dB", "lower",
                                lambda a, b: log_mel_distance_db(a, b, rate_hz)),
            "log_mel_6k_db": plain("log_mel_6k_db", "log-mel distance below 6 kHz, dB", "lower",
                                   lambda a, b: log_mel_distance_db(a, b, rate_hz, LOW_BAND_HZ)),
            "mr_stft": plain("mr_stft", "multi-resolution STFT distance", "lower", multi_resolution_stft_distance),
            "si_sdr_db": plain("si_sdr_db", "SI-SDR, dB", "higher", si_sdr_db),
            "tonal_db": plain("tonal_db", "tonal error, dB", "lower", lambda a, b: tonal_error_db(a, b, rate_hz)),
            "chroma": plain("chroma", "chroma similarity", "higher", lambda a, b: chroma_similarity(a, b, rate_hz)),
            "onset_f1": plain("onset_f1", "onset F1", "higher", lambda a, b: onset_f1(a, b, rate_hz)),
            "note_f1": lambda: _note_metric(rate_hz),
            "visqol_audio": lambda: _visqol_metric(rate_hz),
        })
    )  # fmt: skip


def _note_metric(rate_hz: int) -> Metric:
    listener = NoteListener()

    def score(pair: Pair) -> MetricScore:
        return MetricScore(note_f1(*(listener.notes(x, rate_hz) for x in (pair.reference, pair.decoded))))

    return Metric("note_f1", "note F1", "higher", f"note-f1-1 {package_version(NOTE_PACKAGE)} {rate_hz}", score)


def _visqol_metric(rate_hz: int) -> Metric:
    visqol = VisqolAudio()

    def score(pair: Pair) -> MetricScore:
        return MetricScore(visqol.score(pair.reference, pair.decoded, rate_hz))

    return Metric(
        "visqol_audio", "ViSQOL audio", "higher", f"visqol-audio {package_version('visqol-python')} {rate_hz}", score
    )


def read_classes(manifest: Path) -> dict[str, str]:
    """The class of each file, by file name without suffix, from JSON lines with `file` and `class`."""
    try:
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {Path(row["file"]).stem: str(row["class"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSettings(
            f"'{manifest.name}' is not a list of classes ({type(error).__name__}); expected one JSON object with "
            "'file' and 'class' on each line. Check the file."
        ) from error


def summarize_classes(
    outcome: CodecEvaluation, systems: list[str], metrics: list[Metric], classes: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The summary rows of each class. Raises `BadSettings` if no sound has one."""
    by_class = defaultdict(list)
    for sound in outcome.sounds:
        if (name := classes.get(Path(sound.file).stem)) is not None:
            by_class[name].append(sound)
    if not by_class:
        raise BadSettings("No evaluated file is in the manifest of classes; both must use the same file names.")
    return {name: summarize(CodecEvaluation(sounds, {}), systems, metrics) for name, sounds in sorted(by_class.items())}
