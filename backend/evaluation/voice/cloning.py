"""Evaluates an engine with voices cloned from reference recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.atomic_file import file_sha256
from backend.audio.files import encode_audio, read_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.data.manifest import MANIFEST_NAME
from backend.data.utterances import Utterance, read_utterances
from backend.evaluation.voice.systems import EngineVoices, SpokenPrompt, VoicePrompt, timed_take
from backend.runtime.request import ReferenceClip, SpeechRequest

if TYPE_CHECKING:
    from backend.opt_engine import OptimizedEngine

# A realistic reference: long enough to identify a voice, short enough to record.
MIN_REFERENCE_S = 5.0


class ClonedVoices:
    """Clones every speaker of a corpus folder from its first recordings, up to 5 s; texts alternate between speakers."""

    def __init__(self, engine: OptimizedEngine, identity: str, folder: Path, name: str = "clones"):
        self.name, self._engine = name, engine
        n_adaptation_steps = engine.settings.voice_fit_steps
        self.identity = f"clones-3 {identity} {n_adaptation_steps} {file_sha256(folder / MANIFEST_NAME)}"
        self._references: dict[str, list[Utterance]] = {}
        self._added: dict[str, str] = {}
        for item in read_utterances(folder / MANIFEST_NAME):
            references = self._references.setdefault(item.speaker, [])
            if sum(one.seconds for one in references) < MIN_REFERENCE_S:
                references.append(item)

    @classmethod
    def of(cls, voices: EngineVoices, folder: Path) -> ClonedVoices:
        """Creates a cloning system from the engine of named voices."""
        return cls(voices.engine, voices.identity, folder, f"{voices.name}, cloning {folder.resolve().name}")

    def prompts(self, texts: list[str], seed: int) -> list[VoicePrompt]:
        speakers = list(self._references)
        return [
            VoicePrompt(text, speaker, seed + i, tuple(item.text for item in self._references[speaker]))
            for i, text in enumerate(texts)
            for speaker in (speakers[i % len(speakers)],)
        ]

    def speak(self, prompt: VoicePrompt) -> SpokenPrompt:
        self._engine.load()
        voice = self._voice(prompt.voice or "")
        request = SpeechRequest(text=prompt.text, voice=voice, seed=prompt.seed, use_memory_cache=False)
        return timed_take(self._engine, request)

    def _voice(self, speaker: str) -> str:
        """Returns the id of a speaker, added on first use from its clip and transcript."""
        if speaker not in self._added:
            items = self._references[speaker]
            sounds = [read_audio(item.path).mono() for item in items]
            rate_hz = sounds[0].rate_hz
            joined = np.concatenate([resample(sound, rate_hz).samples for sound in sounds], axis=1)
            text = " ".join(item.text for item in items)
            clip = ReferenceClip(encode_audio(Waveform(joined, rate_hz), "wav"), text)
            self._added[speaker] = self._engine.add_voice(f"clone of {speaker}", clip, text, True).id
        return self._added[speaker]
