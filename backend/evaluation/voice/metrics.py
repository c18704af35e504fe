"""Metrics of a voice: recognizers, speaker similarity, pitch, audio quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from backend.atomic_file import file_sha256
from backend.audio.files import read_audio
from backend.audio.resample import resample
from backend.data.manifest import MANIFEST_NAME
from backend.data.utterances import Utterance, read_utterances
from backend.errors import NotAvailable, ScoreUnavailable
from backend.evaluation.codec.metrics import load_available
from backend.evaluation.voice.systems import VoicePrompt
from backend.metrics.asr import Recognizer
from backend.metrics.dnsmos import Dnsmos
from backend.metrics.optional_packages import package_version
from backend.metrics.pitch import pitch_statistics
from backend.metrics.skips_and_repeats import word_runs
from backend.metrics.speaker_similarity import SpeakerEmbedder
from backend.metrics.wer import character_error_rate, word_error_rate

RATE_HZ = 16_000
# More recordings do not improve the mean embedding.
REFERENCES_PER_VOICE = 8


class VoiceMetric(Protocol):
    """`measure` computes named values from samples [N] at `RATE_HZ` and their prompt, or raises `ScoreUnavailable`."""

    name: str
    identity: str

    def measure(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]: ...


class AsrMetric:
    """Word and character errors of a speech recognizer's transcript."""

    def __init__(self, folder: Path):
        self._recognizer = Recognizer(folder)
        self.name = f"asr:{folder.resolve().name}"
        model = file_sha256(folder / "model.bin")[:16]
        self.identity = f"hearing-1 {package_version('faster-whisper')} {model}"

    def measure(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        transcript = self._recognizer.transcribe(samples)
        words, characters = word_error_rate(prompt.text, transcript), character_error_rate(prompt.text, transcript)
        runs = word_runs(prompt.text, transcript)
        return {
            "heard": transcript, "word_edits": words.n_edits, "words": words.n_reference,
            "character_edits": characters.n_edits, "characters": characters.n_reference,
            "skips": runs.n_skips, "loops": runs.n_loops,
        }  # fmt: skip


class SpeakerSimilarityMetric:
    """Cosine similarity to the mean of recordings of the same voice, excluding the same text and the references.

    With `reports_nearest`, also reports whether the voice is the nearest of all voices in the folders, which embeds all
    of them.
    """

    name = "likeness"

    def __init__(self, folders: Sequence[Path], reports_nearest: bool = False):
        self._encoder, self._reports_nearest = SpeakerEmbedder(), reports_nearest
        self._clips: dict[str, list[Utterance]] = {}
        for folder in folders:
            for item in read_utterances(folder / MANIFEST_NAME):
                self._clips.setdefault(item.speaker, []).append(item)
        self._embedded: dict[Path, np.ndarray] = {}
        self._means: dict[str, np.ndarray] = {}
        manifests = " ".join(file_sha256(folder / MANIFEST_NAME)[:16] for folder in folders)
        suffix = " nearest" if reports_nearest else ""
        self.identity = f"likeness-1 {package_version('resemblyzer')} {manifests}{suffix}"

    def measure(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        voice = prompt.voice or ""
        excluded = {prompt.text, *prompt.heard}
        clips = [item for item in self._clips.get(voice, ()) if item.text not in excluded]
        if not clips:
            raise ScoreUnavailable(
                f"The voice '{prompt.voice}' has no other recordings to compare with. Add some to --references."
            )
        own = self._encoder.embed(samples)
        similarity = float(own @ self._mean(clips))
        if not self._reports_nearest:
            return {"likeness": similarity}
        if not self._means:
            self._means = {name: self._mean(items) for name, items in self._clips.items()}
        others = {name: float(own @ mean) for name, mean in self._means.items() if name != voice}
        nearest_other = max(others, key=lambda name: others[name], default="")
        return {
            "likeness": similarity, "nearest": voice if similarity >= others.get(nearest_other, -1.0) else nearest_other,
            "is_nearest": similarity >= others.get(nearest_other, -1.0), "n_voices": len(self._means),
        }  # fmt: skip

    def _mean(self, clips: Sequence[Utterance]) -> np.ndarray:
        mean = np.mean([self._embed(item) for item in clips[:REFERENCES_PER_VOICE]], axis=0)
        return mean / np.linalg.norm(mean)

    def _embed(self, item: Utterance) -> np.ndarray:
        if item.path not in self._embedded:
            sound = resample(read_audio(item.path).mono(), RATE_HZ)
            self._embedded[item.path] = self._encoder.embed(sound.samples[0])
        return self._embedded[item.path]


class PitchMetric:
    """Median pitch and its variation."""

    name, identity = "melody", "melody-1"

    def measure(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        return pitch_statistics(samples)._asdict()


class DnsmosMetric:
    """DNSMOS, which detects broken audio."""

    name = "dnsmos"

    def __init__(self) -> None:
        self._dnsmos = Dnsmos()
        self.identity = f"dnsmos-1 {package_version('speechmos')}"

    def measure(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        return {"dnsmos": self._dnsmos.score(samples)}


class VoiceMetricSet(NamedTuple):
    """The available metrics, and for each other one the reason."""

    metrics: list[VoiceMetric]
    absent: dict[str, str]


def open_voice_metrics(
    asr: Sequence[Path], references: Sequence[Path], has_dnsmos: bool, reports_nearest: bool = False
) -> VoiceMetricSet:
    """Opens every enabled metric that is available; pitch is always enabled."""
    openers: dict[str, Callable[[], VoiceMetric]] = {f"asr:{path.name}": partial(AsrMetric, path) for path in asr}
    if not asr:
        openers["asr"] = partial(_not_enabled, "Pass --asr with the folder of a Whisper model.")
    openers["likeness"] = (
        partial(SpeakerSimilarityMetric, references, reports_nearest) if references
        else partial(_not_enabled, "Pass --references with a corpus folder of the voices.")
    )  # fmt: skip
    openers["melody"] = PitchMetric
    openers["dnsmos"] = DnsmosMetric if has_dnsmos else partial(_not_enabled, "Pass --dnsmos.")
    return VoiceMetricSet(*load_available(openers))


def _not_enabled(how: str) -> VoiceMetric:
    raise NotAvailable(f"Not enabled. {how}")
