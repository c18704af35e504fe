"""Systems of a voice evaluation: an engine, the recordings of a corpus, or either through a codec."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from backend.atomic_file import file_sha256
from backend.audio.files import read_audio
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.data.utterances import Utterance, read_utterances
from backend.pipeline.codec.stream import convert_for_codec, frames_for
from backend.weights import load_codec, weights_hash

if TYPE_CHECKING:
    from backend.opt_engine import OptimizedEngine
    from backend.runtime.request import SpeechRequest

MAX_DURATION_S = 120.0


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """One text to synthesize; `voice` None lets the system choose.

    `heard` are the texts of the reference recordings, which similarity must not be measured with.
    """

    text: str
    voice: str | None
    seed: int
    heard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpokenPrompt:
    """A synthesized prompt. Times are None for recordings; `is_cut` is true if a limit ended it."""

    waveform: Waveform
    total_s: float | None = None
    first_audio_s: float | None = None
    is_cut: bool = False


class VoiceSystem(Protocol):
    """Anything that synthesizes speech. `identity` changes whenever its audio could."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def prompts(self, texts: list[str], seed: int) -> list[VoicePrompt]:
        """Returns the prompts for `texts`, with voices; recordings use their own texts."""
        ...

    def speak(self, prompt: VoicePrompt) -> SpokenPrompt: ...


class EngineVoices:
    """An engine's voices, alternating over the texts. The engine loads on first use."""

    def __init__(self, engine: OptimizedEngine, identity: str, voices: list[str | None], name: str = "engine"):
        self.name, self.engine, self._voices = name, engine, voices
        self.identity = f"engine-1 {identity}"
        self._is_warm = False

    def prompts(self, texts: list[str], seed: int) -> list[VoicePrompt]:
        return [VoicePrompt(text, self._voices[i % len(self._voices)], seed + i) for i, text in enumerate(texts)]

    def speak(self, prompt: VoicePrompt) -> SpokenPrompt:
        from backend.runtime.request import SpeechRequest

        if not self._is_warm:
            # The first request includes loading and warm-up, so it is not timed.
            self.engine.load()
            self.engine.speak(SpeechRequest(text="One, two, three.", voice=prompt.voice, use_memory_cache=False))
            self._is_warm = True
        return timed_take(
            self.engine,
            SpeechRequest(text=prompt.text, voice=prompt.voice, seed=prompt.seed, use_memory_cache=False),
        )


def timed_take(engine: OptimizedEngine, request: SpeechRequest) -> SpokenPrompt:
    """Synthesizes a request as a stream and measures its times."""
    start = time.perf_counter()
    stream = engine.stream(request)
    first_audio_s = time.perf_counter() - start
    samples = np.concatenate([chunk.samples for chunk in stream], axis=1)
    total_s = time.perf_counter() - start
    is_cut = stream.finish_reason in ("length", "repetition")
    return SpokenPrompt(Waveform(samples, stream.sample_rate_hz), total_s, first_audio_s, is_cut)


class Recordings:
    """A corpus folder with a manifest. `is_given_texts_only`: only the requested texts, otherwise all."""

    def __init__(self, name: str, folder: Path, is_given_texts_only: bool = False):
        self.name, self.folder, self._is_given_only = name, folder, is_given_texts_only
        self._items = {(item.text, item.speaker): item for item in read_utterances(folder / "manifest.jsonl")}
        self.identity = f"recordings-1 {file_sha256(folder / 'manifest.jsonl')}"

    def prompts(self, texts: list[str], seed: int) -> list[VoicePrompt]:
        requested = set(texts)
        return [
            VoicePrompt(text, voice, 0) for text, voice in self._items if not self._is_given_only or text in requested
        ]  # fmt: skip

    def speak(self, prompt: VoicePrompt) -> SpokenPrompt:
        return SpokenPrompt(read_audio(self.item(prompt).path, max_duration_s=MAX_DURATION_S).mono())

    def item(self, prompt: VoicePrompt) -> Utterance:
        return self._items[prompt.text, prompt.voice or ""]


class CodecRoundTrip:
    """Another system's audio, encoded and decoded: the upper bound for models of these codes."""

    def __init__(self, inner: Recordings, codec: CausalCodec, weights: str):
        self.name, self.inner, self.codec = f"{inner.name}, {codec.spec.name}", inner, codec
        self.identity = f"coded-1 {weights} {inner.identity}"

    @classmethod
    def open(cls, inner: Recordings, folder: Path) -> CodecRoundTrip:
        return cls(inner, load_codec(folder), weights_hash(folder))

    def prompts(self, texts: list[str], seed: int) -> list[VoicePrompt]:
        return self.inner.prompts(texts, seed)

    def speak(self, prompt: VoicePrompt) -> SpokenPrompt:
        spec = self.codec.spec
        sound = convert_for_codec(self.inner.speak(prompt).waveform, spec)
        padded = np.zeros((1, spec.channels, frames_for(sound.n_samples, spec) * spec.hop_samples), np.float32)
        padded[0, :, : sound.n_samples] = sound.samples
        with torch.inference_mode():
            decoded = self.codec.decode(self.codec.encode(torch.from_numpy(padded)))[0].float().numpy()
        kept = decoded[:, spec.latency_samples : spec.latency_samples + sound.n_samples]
        return SpokenPrompt(Waveform(np.ascontiguousarray(kept), spec.sample_rate_hz).mono())


def text_key(*parts: object) -> str:
    """Returns a short cache key."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
