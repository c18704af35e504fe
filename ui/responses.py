"""The backend's responses as values; a field with a default may be missing from a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class HealthInfo:
    """The response of `GET /health`."""

    status: str
    version: str
    device: str
    device_name: str
    device_reason: str
    torch_version: str
    torch_threads: int
    python_version: str
    uptime_s: float


@dataclass(frozen=True, slots=True)
class ReadinessInfo:
    """The response of `GET /ready`, ready or not."""

    ready: bool
    loading: bool
    message: str


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice. `duration_s` is the length of its reference recording, or None for a built-in voice."""

    id: str
    name: str
    is_builtin: bool = False
    description: str = ""
    license: str = ""
    created_at: str | None = None
    duration_s: float | None = None
    gender: str = ""
    accent: str = ""


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """The response of `POST /tts`: an audio file, and the headers with lower-case names."""

    audio: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimedText:
    """A sentence with its words, or a single word, with start and end times."""

    text: str
    start_s: float
    end_s: float
    words: tuple[TimedText, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedSpeech:
    """The response of `POST /tts/timed`. Without word times, a sentence is a whole segment of the text."""

    audio: bytes
    duration_s: float
    has_words: bool
    sentences: tuple[TimedText, ...]


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """One entry of `GET /requests`. Values that a request did not reach are None."""

    id: str
    door: str
    at: str | None = None
    voice: str | None = None
    n_chars: int | None = None
    audio_s: float | None = None
    first_audio_s: float | None = None
    rtf: float | None = None
    queue_s: float | None = None
    underrun_s: float | None = None
    finish: str | None = None
    status: int | str | None = None


@dataclass(frozen=True, slots=True)
class CodeFileResult:
    """The response of `POST /codec/encode`: a code file, and the values of its headers."""

    content: bytes
    codec: str
    n_frames: int
    n_codebooks: int
    kbps: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class LosslessFileInfo:
    """The response of `POST /lossless/inspect`; `piece_bits` are bits per sample in pieces of `piece_s` seconds."""

    level: int
    sample_rate_hz: int
    channels: int
    bits: int
    duration_s: float
    source_bytes: int
    file_bytes: int
    piece_s: float
    piece_bits: list[float]
    flac_bytes: int | None = None

    def sizes(self) -> dict[str, int]:
        """Bytes of the audio file, of FLAC if it supports the format, and of the `.pgl` file."""
        flac = {} if self.flac_bytes is None else {"FLAC": self.flac_bytes}
        return {"Audio file": self.source_bytes, **flac, "Phonogram": self.file_bytes}


@dataclass(frozen=True, slots=True)
class CodeFileInfo:
    """The response of `POST /codec/inspect`; `codes` are [K][T], starting at frame `start_frame`."""

    codec: str
    is_decodable: bool
    sample_rate_hz: int
    frame_rate_hz: float
    codebook_sizes: list[int]
    n_codebooks: int
    n_frames: int
    duration_s: float
    file_bytes: int
    file_kbps: float
    start_frame: int
    codes: list[list[int]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of `POST /tts` from the OpenAPI document. `kind` is integer, number, boolean, string or array."""

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MusicOptions:
    """The response of `GET /v1/audio/music`: what a prompt can name."""

    genres: list[str]
    moods: list[str]
    instruments: list[str]
    meters: list[str]


@dataclass(frozen=True, slots=True)
class MusicPiece:
    """A piece of music: its audio file, its labels, and the words of the prompt that changed nothing."""

    audio: bytes
    format: str
    seed: int
    labels: Mapping[str, Any]
    not_understood: str

    def summary(self) -> str:
        """Key, meter, tempo and instruments in one line."""
        names = [str(self.labels[name]) for name in ("genre", "mood", "key", "meter") if self.labels.get(name)]
        tempo = [f"{self.labels['tempo_bpm']:g} bpm"] if "tempo_bpm" in self.labels else []
        return ", ".join([*names, *tempo, *self.labels.get("instruments", []), f"seed {self.seed}"])


@dataclass(frozen=True, slots=True)
class MusicPart:
    """One instrument of a score; `notes` have `start_s`, `duration_s`, `pitch` and `velocity`."""

    instrument: str
    is_drums: bool
    notes: list[Mapping[str, Any]]
