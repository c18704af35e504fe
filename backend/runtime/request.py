"""Speech request: every parameter with its default and bounds, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from backend.errors import BadRequest
from backend.runtime.lru_cache import content_key

Markup = Literal["plain", "markup", "ssml"]
Latency = Literal["normal", "balanced", "low"]

MAX_REFERENCES = 8
MAX_REFERENCE_BYTES = 64 * 2**20
MAX_TEXT_CHARS = 1_000_000
MAX_VOICE_CHARS = 255

# Inclusive bounds, also used by the HTTP schema and the command line.
BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "temperature": (0.0, 2.0),
    "top_p": (0.01, 1.0),
    "top_k": (1, 65_536),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.5, 3.0),
    "max_new_tokens": (1, 32_768),
    "chunk_length": (20, 2000),
    "speed": (0.25, 4.0),
    "pitch": (-12.0, 12.0),
    "loudness_lufs": (-40.0, -5.0),
    "timeout_s": (0.1, 3600.0),
}
WHOLE = {"seed", "top_k", "max_new_tokens", "chunk_length"}


@dataclass(frozen=True, slots=True)
class ReferenceClip:
    """Reference audio for voice cloning, as the bytes of an audio file, and its transcript."""

    audio: bytes
    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.audio, bytes) or not self.audio:
            raise BadRequest("A reference has no audio; expected the bytes of an audio file. Send one.")
        if len(self.audio) > MAX_REFERENCE_BYTES:
            raise BadRequest(
                f"A reference holds {len(self.audio)} bytes; the limit is {MAX_REFERENCE_BYTES}. Send a shorter clip."
            )
        if not isinstance(self.text, str) or len(self.text) > MAX_TEXT_CHARS:
            raise BadRequest("The text of a reference must be a string of at most 1 000 000 characters. Shorten it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRequest:
    """Parameters of one synthesis request. None takes the checkpoint's default.

    `fit_reference` adapts the voice to the references first, which takes seconds for the first such request and
    needs their transcripts. `chunk_length` is the target length of one generated segment in UTF-8 bytes. `speed` is
    relative (2 is twice as fast), `pitch` shifts the voice by semitones at the same speed and timbre. `latency`
    sets the size of the first decoded chunks. `loudness_lufs` normalizes the loudness of the whole audio, which
    delays the first chunk to the end. With `whole`, segments are emitted only when complete, so a runaway segment
    is regenerated instead of cut off. `timeout_s` covers the whole request, queueing included.
    Raises `BadRequest` naming the field that is out of bounds.
    """

    text: str
    voice: str | None = None
    references: tuple[ReferenceClip, ...] = ()
    fit_reference: bool = False
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    chunk_length: int | None = None
    normalize: bool = True
    speed: float = 1.0
    pitch: float = 0.0
    markup: Markup = "plain"
    latency: Latency = "balanced"
    loudness_lufs: float | None = None
    whole: bool = False
    use_memory_cache: bool = True
    timeout_s: float | None = None

    @property
    def buffers_segments(self) -> bool:
        """Whether the audio of a segment is emitted only after its last frame."""
        return self.whole or self.loudness_lufs is not None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise BadRequest("The text is empty; expected words to synthesize. Send some.")
        if len(self.text) > MAX_TEXT_CHARS:
            raise BadRequest(f"The text has {len(self.text)} characters; the limit is {MAX_TEXT_CHARS}. Shorten it.")
        for name, (low, high) in BOUNDS.items():
            _check_number(name, getattr(self, name), low, high)
        for name, choices in (("markup", get_args(Markup)), ("latency", get_args(Latency))):
            if getattr(self, name) not in choices:
                raise BadRequest(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}.")
        for name in ("fit_reference", "normalize", "whole", "use_memory_cache"):
            if not isinstance(getattr(self, name), bool):
                raise BadRequest(f"{name} is {getattr(self, name)!r}; expected true or false.")
        if self.voice is not None and not (isinstance(self.voice, str) and 0 < len(self.voice) <= MAX_VOICE_CHARS):
            raise BadRequest(f"voice must be a name or id of 1 to {MAX_VOICE_CHARS} characters. List the voices first.")
        if not isinstance(self.references, tuple) or len(self.references) > MAX_REFERENCES:
            raise BadRequest(f"A request takes at most {MAX_REFERENCES} references. Send fewer.")
        if self.voice is not None and self.references:
            raise BadRequest("Both a voice and references were given; expected one of them. Drop the other.")
        if self.fit_reference and not all(clip.text.strip() for clip in self.references):
            raise BadRequest(
                "fit_reference needs the transcript of every reference. Send them, or leave it off.", "fit_reference"
            )


def segment_seed(seed: int, k: int) -> int:
    """Return the seed of segment `k`: the request's seed for the first, a hash of both for the others."""
    return seed if k == 0 else int(content_key(seed, k)[:15], 16)


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if value is None:
        return
    kinds = int if name in WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value) or not low <= value <= high:
        kind = "a whole number" if name in WHOLE else "a number"
        raise BadRequest(f"{name} is {value!r}; expected {kind} from {low:g} to {high:g}. Correct it.")
