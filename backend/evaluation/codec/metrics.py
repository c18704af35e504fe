"""The judges of an evaluation: each turns a pair of sounds into one number, or says why it cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from backend.errors import NotAvailable, ScoreUnavailable
from backend.evaluation.codec.systems import file_hash
from backend.metrics.asr import Recognizer
from backend.metrics.optional_packages import package_version, require_package
from backend.metrics.pesq_visqol import Visqol, pesq
from backend.metrics.reconstruction import mel_distance_db, si_sdr_db
from backend.metrics.speaker_similarity import SpeakerEmbedder
from backend.metrics.stoi import stoi
from backend.metrics.wer import character_error_rate, word_error_rate

Seated = TypeVar("Seated")
# Everything is judged at one rate, so that no judge sees another band than the others.
RATE_HZ = 16_000


class Score(NamedTuple):
    """`weight` is what a mean over files counts it with: 1, or the words of a transcript."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """An original and its aligned decoding, [N] each at `RATE_HZ`, and what is said in it, if known."""

    reference: np.ndarray
    decoded: np.ndarray
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """`identity` changes whenever the scores could; `score` raises `ScoreUnavailable` for sound it cannot judge."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    identity: str
    score: Callable[[Pair], Score]
    is_text_used: bool = False


class MetricSet(NamedTuple):
    """The judges that can sit, and of the others the name and the reason."""

    judges: list[Metric]
    absent: dict[str, str]


def open_metrics(asr: Path | None = None, has_transcripts: bool = False, is_speaker_judged: bool = False) -> MetricSet:
    """Every judge there is on this machine. Those that were not asked for are listed as such."""
    words = Transcripts(asr)
    openers: dict[str, Callable[[], Metric]] = {
        "mel_db": lambda: Metric("mel_db", "log-mel distance, dB", "lower", "mel-1", _mel),
        "si_sdr_db": lambda: Metric("si_sdr_db", "SI-SDR, dB", "higher", "si-sdr-1", _si_sdr),
        "stoi": _stoi_judge,
        "pesq": _pesq_judge,
        "visqol": _visqol_judge,
        "speaker": partial(_speaker_judge, is_speaker_judged),
        "wer": partial(_recognition_judge, words, has_transcripts, "wer"),
        "cer": partial(_recognition_judge, words, has_transcripts, "cer"),
    }
    return MetricSet(*load_available(openers))


def load_available(openers: Mapping[str, Callable[[], Seated]]) -> tuple[list[Seated], dict[str, str]]:
    """The judges that can sit, and of the others the name and the reason."""
    judges, absent = [], {}
    for name, opener in openers.items():
        try:
            judges.append(opener())
        except NotAvailable as error:
            absent[name] = str(error)
    return judges, absent


def _mel(pair: Pair) -> Score:
    return Score(mel_distance_db(pair.reference, pair.decoded, RATE_HZ))


def _si_sdr(pair: Pair) -> Score:
    return Score(si_sdr_db(pair.reference, pair.decoded))


def _stoi_judge() -> Metric:
    require_package("pystoi", "pystoi")
    return Metric(
        "stoi", "STOI", "higher", f"stoi {package_version('pystoi')}",
        lambda pair: Score(stoi(pair.reference, pair.decoded, RATE_HZ)),
    )  # fmt: skip


def _pesq_judge() -> Metric:
    require_package("pesq", "pesq")
    return Metric(
        "pesq", "PESQ wideband", "higher", f"pesq {package_version('pesq')}",
        lambda pair: Score(pesq(pair.reference, pair.decoded)),
    )  # fmt: skip


def _visqol_judge() -> Metric:
    visqol = Visqol()
    return Metric(
        "visqol", "ViSQOL speech", "higher", f"visqol {package_version('visqol-python')}",
        lambda pair: Score(visqol.score(pair.reference, pair.decoded)),
    )  # fmt: skip


def _speaker_judge(is_asked: bool) -> Metric:
    if not is_asked:
        raise NotAvailable("Not asked for. Give --speaker.")
    encoder = SpeakerEmbedder()
    return Metric(
        "speaker", "speaker similarity", "higher", f"ge2e {package_version('resemblyzer')}",
        lambda pair: Score(encoder.similarity(pair.reference, pair.decoded)),
    )  # fmt: skip


def _recognition_judge(words: Transcripts, has_transcripts: bool, name: str) -> Metric:
    words.require()
    rate_of = word_error_rate if name == "wer" else character_error_rate
    against = "the given text" if has_transcripts else "the transcript of the original"

    def score(pair: Pair) -> Score:
        if has_transcripts and pair.text is None:
            raise ScoreUnavailable("The transcripts say nothing of this file.")
        wanted = pair.text if pair.text is not None else words(pair.reference)
        rate = rate_of(wanted, words(pair.decoded))
        return Score(rate.rate, rate.n_reference)

    kind = "word" if name == "wer" else "character"
    return Metric(
        name, f"{kind} error rate against {against}", "lower", f"{name}-1 {words.identity} {against}", score, True
    )


class Transcripts:
    """What a recognizer hears. The last few transcripts are kept: several judges ask for the same."""

    KEPT = 4

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._recognizer: Recognizer | None = None
        self._heard: dict[bytes, str] = {}
        self.identity = ""

    def require(self) -> None:
        """Load the recognizer. Raises `NotAvailable`."""
        if self._folder is None:
            raise NotAvailable("Not asked for. Give --asr with the folder of a Whisper model.")
        if self._recognizer is None:
            self._recognizer = Recognizer(self._folder)
            model = file_hash(self._folder / "model.bin")[:16]
            self.identity = f"{package_version('faster-whisper')} {model}"

    def __call__(self, samples: np.ndarray) -> str:
        assert self._recognizer is not None, "require() comes first"
        key = hashlib.sha256(samples.tobytes()).digest()
        if key not in self._heard:
            while len(self._heard) >= self.KEPT:
                del self._heard[next(iter(self._heard))]
            self._heard[key] = self._recognizer.transcribe(samples)
        return self._heard[key]
