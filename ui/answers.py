"""What the backend answers, as values; fields with a default may be missing from an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class HealthInfo:
    """The answer of `GET /health`."""

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
    """The answer of `GET /ready`, whether it is yes or no."""

    ready: bool
    loading: bool
    message: str


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice to speak with. `duration_s` is the length of the recording it was made from, if it was."""

    id: str
    name: str
    is_builtin: bool = False
    description: str = ""
    license: str = ""
    created_at: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """The answer of `POST /tts`: a sound file, and what its headers tell, in lower case."""

    audio: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimedText:
    """A sentence with its words, or a word, and when it is heard."""

    text: str
    start_s: float
    end_s: float
    words: tuple[TimedText, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedSpeech:
    """The answer of `POST /tts/timed`. Without words, a sentence is a whole segment of the text."""

    audio: bytes
    duration_s: float
    has_words: bool
    sentences: tuple[TimedText, ...]


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """One line of `GET /requests`. What a request never came to is None."""

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
    """The answer of `POST /codec/encode`: a code file, and what its headers tell."""

    content: bytes
    codec: str
    n_frames: int
    n_codebooks: int
    kbps: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class CodeSurvey:
    """The answer of `POST /codec/inspect`; `codes` are [codebooks][frames] from frame `start_frame` on."""

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
    """A field of `POST /tts` as the document describes it. `kind` is integer, number, boolean, string or array."""

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
