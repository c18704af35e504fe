"""What a caller asks to hear: every parameter with its default and its bounds, checked once."""

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

# Both ends are allowed. The HTTP schema and the command line read them from here.
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
    """A recording of the voice to speak with, as the bytes of a sound file, and the words spoken in it."""

    audio: bytes
    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.audio, bytes) or not self.audio:
            raise BadRequest("A reference has no audio; expected the bytes of a sound file. Send one.")
        if len(self.audio) > MAX_REFERENCE_BYTES:
            raise BadRequest(
                f"A reference holds {len(self.audio)} bytes; the limit is {MAX_REFERENCE_BYTES}. Send a shorter clip."
            )
        if not isinstance(self.text, str) or len(self.text) > MAX_TEXT_CHARS:
            raise BadRequest("The text of a reference must be a string of at most 1 000 000 characters. Shorten it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRequest:
    """One text to speak. None stands for the checkpoint's own default.

    `fit_reference` has a voice fitted to the references first, for seconds that the first such request waits; their
    words must be known. `chunk_length` is the target length of one generated segment in UTF-8 bytes. `speed` is
    relative (2 is twice as fast), `pitch` moves the voice by semitones at the same speed and timbre. `latency` says
    how small the first decoded pieces are, `loudness_lufs` brings the whole to a loudness and so delays the first
    piece to the end. `whole` says that nobody listens before a segment is complete: one that runs away is then
    started over instead of cut off. `timeout_s` bounds all of it, waiting included. Raises `BadRequest`
    naming the field that is out of bounds.
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
    def holds_segments(self) -> bool:
        """Whether no sound of a segment is handed on before its last frame."""
        return self.whole or self.loudness_lufs is not None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise BadRequest("The text is empty; expected words to speak. Send some.")
        if len(self.text) > MAX_TEXT_CHARS:
            raise BadRequest(f"The text has {len(self.text)} characters; the most there can be is {MAX_TEXT_CHARS}.")
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
            raise BadRequest(f"There may be at most {MAX_REFERENCES} references. Send fewer.")
        if self.voice is not None and self.references:
            raise BadRequest("Both a voice and references were given; expected one of them. Drop the other.")
        if self.fit_reference and not all(clip.text.strip() for clip in self.references):
            raise BadRequest(
                "fit_reference needs the words said in every reference. Send them, or leave it off.", "fit_reference"
            )


def segment_seed(seed: int, k: int) -> int:
    """Other noise for every segment, the given seed itself for the first."""
    return seed if k == 0 else int(content_key(seed, k)[:15], 16)


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if value is None:
        return
    kinds = int if name in WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value) or not low <= value <= high:
        kind = "a whole number" if name in WHOLE else "a number"
        raise BadRequest(f"{name} is {value!r}; expected {kind} from {low:g} to {high:g}. Correct it.")
