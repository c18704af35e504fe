"""The judges of a voice: recognizers, likeness to the speaker, melody, sound quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from backend.audio.files import read_audio
from backend.audio.resample import resample
from backend.data.manifest import MANIFEST_NAME
from backend.data.utterances import Utterance, read_utterances
from backend.errors import NotAvailable, ScoreUnavailable
from backend.evaluation.codec.metrics import load_available
from backend.evaluation.codec.systems import file_hash
from backend.evaluation.voice.systems import VoicePrompt
from backend.metrics.asr import Recognizer
from backend.metrics.dnsmos import Dnsmos
from backend.metrics.optional_packages import package_version
from backend.metrics.pitch import pitch_statistics
from backend.metrics.skips_and_repeats import word_runs
from backend.metrics.speaker_similarity import SpeakerEmbedder
from backend.metrics.wer import character_error_rate, word_error_rate

RATE_HZ = 16_000
# More says nothing new of a speaker.
REFERENCES_PER_VOICE = 8


class VoiceMetric(Protocol):
    """`judge` turns a sound [N] at `RATE_HZ` and what it should say into named facts, or raises `ScoreUnavailable`."""

    name: str
    identity: str

    def judge(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]: ...


class AsrMetric:
    """What a recognizer makes of it."""

    def __init__(self, folder: Path):
        self._recognizer = Recognizer(folder)
        self.name = f"asr:{folder.resolve().name}"
        model = file_hash(folder / "model.bin")[:16]
        self.identity = f"hearing-1 {package_version('faster-whisper')} {model}"

    def judge(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        heard = self._recognizer.transcribe(samples)
        words, characters = word_error_rate(prompt.text, heard), character_error_rate(prompt.text, heard)
        runs = word_runs(prompt.text, heard)
        return {
            "heard": heard, "word_edits": words.n_edits, "words": words.n_reference,
            "character_edits": characters.n_edits, "characters": characters.n_reference,
            "skips": runs.n_skips, "loops": runs.n_loops,
        }  # fmt: skip


class SpeakerSimilarityMetric:
    """Cosine to the mean of recordings of the same voice, the very text and what the speaker listened to left out.

    With `tells_nearest` also whether no other voice of the folders is nearer: all of them are listened to for it.
    """

    name = "likeness"

    def __init__(self, folders: Sequence[Path], tells_nearest: bool = False):
        self._encoder, self._tells_nearest = SpeakerEmbedder(), tells_nearest
        self._clips: dict[str, list[Utterance]] = {}
        for folder in folders:
            for item in read_utterances(folder / MANIFEST_NAME):
                self._clips.setdefault(item.speaker, []).append(item)
        self._embedded: dict[Path, np.ndarray] = {}
        self._means: dict[str, np.ndarray] = {}
        manifests = " ".join(file_hash(folder / MANIFEST_NAME)[:16] for folder in folders)
        nearest = " nearest" if tells_nearest else ""
        self.identity = f"likeness-1 {package_version('resemblyzer')} {manifests}{nearest}"

    def judge(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        voice = prompt.voice or ""
        known = {prompt.text, *prompt.heard}
        clips = [item for item in self._clips.get(voice, ()) if item.text not in known]
        if not clips:
            raise ScoreUnavailable(f"There are no other recordings of the voice '{prompt.voice}' to compare with.")
        own = self._encoder.embed(samples)
        similarity = float(own @ self._mean(clips))
        if not self._tells_nearest:
            return {"likeness": similarity}
        if not self._means:
            self._means = {name: self._mean(items) for name, items in self._clips.items()}
        others = {name: float(own @ mean) for name, mean in self._means.items() if name != voice}
        rival = max(others, key=lambda name: others[name], default="")
        return {
            "likeness": similarity, "nearest": voice if similarity >= others.get(rival, -1.0) else rival,
            "is_nearest": similarity >= others.get(rival, -1.0), "n_voices": len(self._means),
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
    """How high, and how lively."""

    name, identity = "melody", "melody-1"

    def judge(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        return pitch_statistics(samples)._asdict()


class DnsmosMetric:
    """DNSMOS, as a guard against broken sound."""

    name = "dnsmos"

    def __init__(self) -> None:
        self._dnsmos = Dnsmos()
        self.identity = f"dnsmos-1 {package_version('speechmos')}"

    def judge(self, samples: np.ndarray, prompt: VoicePrompt) -> dict[str, Any]:
        return {"dnsmos": self._dnsmos.score(samples)}


class VoiceMetricSet(NamedTuple):
    """The judges that can sit, and of the others the name and the reason."""

    judges: list[VoiceMetric]
    absent: dict[str, str]


def open_voice_metrics(
    asr: Sequence[Path], references: Sequence[Path], is_quality_judged: bool, tells_nearest: bool = False
) -> VoiceMetricSet:
    """Every judge that was asked for and is there; melody always."""
    openers: dict[str, Callable[[], VoiceMetric]] = {f"asr:{path.name}": partial(AsrMetric, path) for path in asr}
    if not asr:
        openers["asr"] = partial(_not_asked, "Give --asr with the folder of a Whisper model.")
    openers["likeness"] = (
        partial(SpeakerSimilarityMetric, references, tells_nearest) if references
        else partial(_not_asked, "Give --references with a corpus folder of the voices.")
    )  # fmt: skip
    openers["melody"] = PitchMetric
    openers["dnsmos"] = DnsmosMetric if is_quality_judged else partial(_not_asked, "Give --dnsmos.")
    return VoiceMetricSet(*load_available(openers))


def _not_asked(how: str) -> VoiceMetric:
    raise NotAvailable(f"Not asked for. {how}")
