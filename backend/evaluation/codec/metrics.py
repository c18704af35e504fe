"""Metrics of a codec evaluation: each computes one number from a pair of signals, or raises with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from backend.atomic_file import file_sha256
from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics.asr import Recognizer
from backend.metrics.optional_packages import package_version, require_package
from backend.metrics.pesq_visqol import Visqol, pesq
from backend.metrics.reconstruction import mel_distance_db, si_sdr_db
from backend.metrics.speaker_similarity import SpeakerEmbedder
from backend.metrics.stoi import stoi
from backend.metrics.wer import character_error_rate, word_error_rate

Opened = TypeVar("Opened")
# All metrics use one sample rate, so that they see the same bandwidth.
RATE_HZ = 16_000


class MetricScore(NamedTuple):
    """`weight` is the weight in a mean over files: 1, or the number of words of a transcript."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and its aligned decoding, [N] each at `RATE_HZ`, and the spoken text, if known."""

    reference: np.ndarray
    decoded: np.ndarray
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """`identity` changes whenever the scores could; `score` raises `ScoreUnavailable` if there is no score for the
    audio.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    identity: str
    score: Callable[[Pair], MetricScore]
    is_text_used: bool = False


class MetricSet(NamedTuple):
    """The available metrics, and for each other one the reason."""

    metrics: list[Metric]
    absent: dict[str, str]


def open_metrics(
    asr: Path | None = None, has_transcripts: bool = False, has_speaker_similarity: bool = False
) -> MetricSet:
    """Opens every metric available on this machine; metrics that are not enabled are listed as absent."""
    transcripts = Transcripts(asr)
    openers: dict[str, Callable[[], Metric]] = {
        "mel_db": lambda: Metric("mel_db", "log-mel distance, dB", "lower", "mel-1", _mel),
        "si_sdr_db": lambda: Metric("si_sdr_db", "SI-SDR, dB", "higher", "si-sdr-1", _si_sdr),
        "stoi": _stoi_metric,
        "pesq": _pesq_metric,
        "visqol": _visqol_metric,
        "speaker": partial(_speaker_metric, has_speaker_similarity),
        "wer": partial(_recognition_metric, transcripts, has_transcripts, "wer"),
        "cer": partial(_recognition_metric, transcripts, has_transcripts, "cer"),
    }
    return MetricSet(*load_available(openers))


def load_available(openers: Mapping[str, Callable[[], Opened]]) -> tuple[list[Opened], dict[str, str]]:
    """Returns the metrics that can be opened, and for each other one the reason."""
    metrics, absent = [], {}
    for name, opener in openers.items():
        try:
            metrics.append(opener())
        except NotAvailable as error:
            absent[name] = str(error)
    return metrics, absent


def _mel(pair: Pair) -> MetricScore:
    return MetricScore(mel_distance_db(pair.reference, pair.decoded, RATE_HZ))


def _si_sdr(pair: Pair) -> MetricScore:
    return MetricScore(si_sdr_db(pair.reference, pair.decoded))


def _stoi_metric() -> Metric:
    require_package("pystoi", "pystoi")
    return Metric(
        "stoi", "STOI", "higher", f"stoi {package_version('pystoi')}",
        lambda pair: MetricScore(stoi(pair.reference, pair.decoded, RATE_HZ)),
    )  # fmt: skip


def _pesq_metric() -> Metric:
    require_package("pesq", "pesq")
    return Metric(
        "pesq", "PESQ wideband", "higher", f"pesq {package_version('pesq')}",
        lambda pair: MetricScore(pesq(pair.reference, pair.decoded)),
    )  # fmt: skip


def _visqol_metric() -> Metric:
    visqol = Visqol()
    return Metric(
        "visqol", "ViSQOL speech", "higher", f"visqol {package_version('visqol-python')}",
        lambda pair: MetricScore(visqol.score(pair.reference, pair.decoded)),
    )  # fmt: skip


def _speaker_metric(is_enabled: bool) -> Metric:
    if not is_enabled:
        raise NotAvailable("Not enabled. Pass --speaker.")
    encoder = SpeakerEmbedder()
    return Metric(
        "speaker", "speaker similarity", "higher", f"ge2e {package_version('resemblyzer')}",
        lambda pair: MetricScore(encoder.similarity(pair.reference, pair.decoded)),
    )  # fmt: skip


def _recognition_metric(transcripts: Transcripts, has_transcripts: bool, name: str) -> Metric:
    transcripts.require()
    rate_of = word_error_rate if name == "wer" else character_error_rate
    against = "the given text" if has_transcripts else "the transcript of the original"

    def score(pair: Pair) -> MetricScore:
        if has_transcripts and pair.text is None:
            raise ScoreUnavailable("The transcripts do not list this file.")
        expected = pair.text if pair.text is not None else transcripts(pair.reference)
        rate = rate_of(expected, transcripts(pair.decoded))
        return MetricScore(rate.rate, rate.n_reference)

    kind = "word" if name == "wer" else "character"
    return Metric(
        name, f"{kind} error rate against {against}", "lower", f"{name}-1 {transcripts.identity} {against}", score, True
    )


class Transcripts:
    """Transcripts from a speech recognizer. The last few are cached, since several metrics use them."""

    MAX_CACHED = 4

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._recognizer: Recognizer | None = None
        self._cache: dict[bytes, str] = {}
        self.identity = ""

    def require(self) -> None:
        """Loads the recognizer. Raises `NotAvailable`."""
        if self._folder is None:
            raise NotAvailable("Not enabled. Pass --asr with the folder of a Whisper model.")
        if self._recognizer is None:
            self._recognizer = Recognizer(self._folder)
            model = file_sha256(self._folder / "model.bin")[:16]
            self.identity = f"{package_version('faster-whisper')} {model}"

    def __call__(self, samples: np.ndarray) -> str:
        assert self._recognizer is not None, "call require() first"
        key = hashlib.sha256(samples.tobytes()).digest()
        if key not in self._cache:
            while len(self._cache) >= self.MAX_CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = self._recognizer.transcribe(samples)
        return self._cache[key]
