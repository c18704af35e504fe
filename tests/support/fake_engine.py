"""A fake engine that returns tones instead of speech, with the methods and errors of the real one."""

from __future__ import annotations

import io
import threading
import zlib
from dataclasses import dataclass, field

import numpy as np
import torch

from backend.audio.waveform import Waveform
from backend.codes import CodecSpec, Codes
from backend.compression.codes.container import ContainerWriter
from backend.compression.codes.header import ContainerHeader
from backend.errors import BadRequest, Cancelled, UnknownVoice, VoiceExists
from backend.pipeline.codec.in_memory import CodeFile, read_file
from backend.pipeline.speech.timestamps import TimedSentence, TimedWord
from backend.runtime.request import ReferenceClip, SpeechRequest
from backend.storage.voices import check_new_voice

RATE_HZ = 8000
PIECE_SAMPLES = 800
SAMPLES_PER_CHAR = 160
WAIT_LIMIT_S = 20.0
SPEC = CodecSpec("hum", RATE_HZ, 160, (16, 16))
CODES_HASH = "ab" * 32


@dataclass(frozen=True)
class Voice:
    id: str
    name: str
    created_at: str | None = "2020-01-02T03:04:05+00:00"
    is_builtin: bool = False
    duration_s: float | None = 7.0
    gender: str = ""
    accent: str = ""
    description: str = ""


@dataclass(frozen=True)
class Guide:
    family: str = "fake"
    groups: dict = field(default_factory=lambda: {"basic": ["happy", "sad"]})


@dataclass(frozen=True)
class Status:
    model: str = "hum"
    family: str = "fake"
    n_waiting: int = 0
    caches: dict = field(default_factory=lambda: {"references": {"entries": 2}})


@dataclass(frozen=True)
class Metrics:
    seed: int
    total_s: float = 0.5
    first_audio_s: float = 0.1
    audio_s: float = 1.0
    rtf: float = 0.5
    frames: int = 25
    frames_per_s: float = 50.0
    reference_s: float = 0.0
    semantic_s: float = 0.4
    synthesis_s: float = 0.1
    queue_s: float = 0.0
    cache_hits: tuple = ()
    finish_reason: str = "stop"
    retries: int = 0


def sound_of(request: SpeechRequest, seed: int) -> np.ndarray:
    """Samples [1, N] that depend only on the text and the seed."""
    n_samples = len(request.text) * SAMPLES_PER_CHAR
    tone_hz = 100 + zlib.crc32(f"{request.text} {seed}".encode()) % 400
    return (0.4 * np.sin(2 * np.pi * tone_hz * np.arange(n_samples) / RATE_HZ)).astype(np.float32)[None]


class FakeStream:
    def __init__(self, engine: FakeEngine, request: SpeechRequest):
        self.engine, self.request = engine, request
        self.sample_rate_hz = RATE_HZ
        self.ignored = engine.ignored
        self.finish_reason, self.is_watermarked = "stop", False
        self.cancelled = threading.Event()
        seed = 1 if request.seed is None else request.seed
        samples = sound_of(request, seed)
        self.samples = samples
        self.metrics = Metrics(seed, audio_s=samples.shape[1] / RATE_HZ)

    def __iter__(self):
        for start in range(0, self.samples.shape[1], PIECE_SAMPLES):
            if start >= self.engine.pause_after_samples:
                # Waits for the test to set `go_on`, or for a cancellation.
                self.engine.paused.set()
                for _ in range(int(WAIT_LIMIT_S / 0.005)):
                    if self.cancelled.is_set() or self.engine.go_on.wait(0.005):
                        break
            if self.cancelled.is_set():
                raise Cancelled("The request was cancelled by the client.")
            if start >= self.engine.fail_after_samples:
                raise self.engine.failure
            self.engine.n_pieces += 1
            yield Waveform(self.samples[:, start : start + PIECE_SAMPLES], RATE_HZ)

    @property
    def sentences(self):
        words = self.request.text.split()
        each_s = self.samples.shape[1] / RATE_HZ / len(words)
        timed = tuple(TimedWord(word, n * each_s, (n + 1) * each_s) for n, word in enumerate(words))
        return (TimedSentence(self.request.text, 0.0, len(words) * each_s, timed if self.engine.has_words else ()),)

    def cancel(self) -> None:
        self.cancelled.set()
        self.engine.n_cancelled += 1


class FakeEngine:
    """`asked` has all requests; tests set the other attributes."""

    def __init__(self, settings=None):
        self.asked: list[SpeechRequest] = []
        self.clients: list[str] = []
        self.on_begin = lambda: None
        self.added: list[tuple] = []
        self.stored = {"hum": Voice("hum", "Hum")}
        self.ignored: tuple[str, ...] = ()
        self.refusals: dict[str, Exception] = {}  # by text
        self.refusal: Exception | None = None
        self.load_failure: Exception | None = None
        self.failure: Exception = BadRequest("unused")
        self.fail_after_samples = self.pause_after_samples = 2**62
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.n_pieces = self.n_cancelled = 0
        self.is_closed = False
        self.model, self.crowd = "hum", None
        self.has_words = True

    def load(self) -> None:
        if self.load_failure is not None:
            raise self.load_failure

    def close(self) -> None:
        self.is_closed = True

    def begin(self, request: SpeechRequest, client: str = "") -> FakeStream:
        self.asked.append(request)
        self.clients.append(client)
        self.on_begin()
        if self.refusal is not None:
            raise self.refusal
        if request.text in self.refusals:
            raise self.refusals[request.text]
        if request.voice is not None and request.voice not in self.stored:
            raise UnknownVoice(f"No voice '{request.voice}'. List the voices first.")
        return FakeStream(self, request)

    @property
    def occupancy(self):
        return self.crowd

    def voice_key(self, voice: str | None) -> str:
        if voice is not None and voice not in self.stored:
            raise UnknownVoice(f"No voice '{voice}'. List the voices first.")
        return f"{self.model}/{voice}"

    def voices(self) -> tuple[Voice, ...]:
        return tuple(self.stored.values())

    def add_voice(self, name: str, clip: ReferenceClip, text: str, consent: bool) -> Voice:
        check_new_voice(name, text, consent)
        self.added.append((name, clip, text, consent))
        if name in self.stored:
            raise VoiceExists(f"There is a voice '{name}' already. Choose another name.")
        self.stored[name] = Voice(name, name)
        return self.stored[name]

    def delete_voice(self, voice_id: str) -> None:
        if voice_id not in self.stored:
            raise UnknownVoice(f"No voice '{voice_id}'. List the voices first.")
        del self.stored[voice_id]

    def rename_voice(self, voice_id: str, name: str) -> Voice:
        if voice_id not in self.stored:
            raise UnknownVoice(f"No voice '{voice_id}'. List the voices first.")
        if name in (voice.name for voice in self.stored.values()):
            raise VoiceExists(f"There is a voice '{name}' already. Choose another name.")
        self.stored[voice_id] = Voice(voice_id, name)
        return self.stored[voice_id]

    def voice_similarity(self, voice_id: str, text: str, seed: int | None = None) -> float:
        if voice_id not in self.stored:
            raise UnknownVoice(f"No voice '{voice_id}'. List the voices first.")
        return 0.875

    def encode(self, waveform: Waveform) -> Codes:
        return Codes(torch.from_numpy(self.encode_file(waveform).indices)[None], SPEC.name)

    def decode_indices(self, sounds: list[np.ndarray]) -> list[Waveform]:
        return [
            Waveform(one[0].repeat(SPEC.hop_samples).astype(np.float32)[None] / 16, SPEC.sample_rate_hz)
            for one in sounds
        ]

    def encode_file(self, waveform: Waveform, n_codebooks: int | None = None) -> CodeFile:
        """Codes with the peak level of each frame."""
        header = ContainerHeader.of(SPEC, CODES_HASH, n_codebooks)
        frames = np.array_split(np.abs(waveform.samples[0]), max(1, waveform.n_samples // SPEC.hop_samples))
        loudness = [min(15, int(frame.max() * 16)) for frame in frames]
        file = io.BytesIO()
        writer = ContainerWriter(file, header)
        writer.push(np.array([loudness] * header.n_codebooks))
        writer.finish(len(loudness) * SPEC.hop_samples)
        return self.read_code_file(file.getvalue())

    def decode_file(self, content: bytes) -> Waveform:
        file = self.read_code_file(content)
        loudness = file.indices[0].repeat(SPEC.hop_samples).astype(np.float32) / 16
        return Waveform(loudness[None], SPEC.sample_rate_hz)

    def read_code_file(self, content: bytes) -> CodeFile:
        return read_file(content, SPEC, CODES_HASH, 60.0)

    def emotions(self) -> Guide:
        return Guide()

    def status(self) -> Status:
        return Status()

    def clear_caches(self) -> dict[str, int]:
        return {"references": 2}
