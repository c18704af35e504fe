"""The interface of all music engines: a request in words, sound in pieces, and what is known of the piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol, get_args

from backend.audio.waveform import Waveform
from backend.errors import BadRequest

Quality = Literal["fast", "balanced", "high"]

MAX_SEED = 2**63 - 1
MIN_LUFS, MAX_LUFS = -40.0, -8.0
MAX_PROMPT_CHARS = 1000
MAX_PROMPT_CHANGES = 64
MAX_INSTRUMENTS = 5
# Inclusive bounds, also used by the HTTP schema; None means the engine's default.
BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, MAX_SEED),
    "duration_s": (4.0, 1800.0),
    "tempo_bpm": (60, 180),
    "loudness_lufs": (MIN_LUFS, MAX_LUFS),
    "guidance": (0.0, 20.0),
    "temperature": (0.0, 2.0),
    "top_k": (1, 65_536),
}
UNITS = {"duration_s": " seconds", "tempo_bpm": " beats a minute", "loudness_lufs": " LUFS"}


@dataclass(frozen=True, slots=True)
class PromptChange:
    """From the next bar line or frame after `at_s` seconds on, the music follows `text`."""

    at_s: float
    text: str

    def __post_init__(self) -> None:
        if not (isfinite(self.at_s) and self.at_s > 0):
            raise BadRequest(f"A prompt change is at {self.at_s:g} s; expected a time after 0 s.", "prompt_changes")
        check_prompt(self.text, "prompt_changes")


@dataclass(frozen=True, slots=True)
class MusicRequest:
    """Music asked for in words; what is given beside the text wins over it.

    `tempo_bpm` counts beats of the meter; `loudness_lufs` is integrated loudness by ITU-R BS.1770, -40 to -8.
    `is_endless` goes on until it is cancelled. `guidance`, `temperature` and `top_k` steer sampling engines.
    `continuation` is sound that the music goes on from. Engines reject what they cannot do with `reject_unsupported`.
    Raises `BadRequest` for values out of range; each engine checks what only it can know.
    """

    text: str
    duration_s: float | None = None
    seed: int = 0
    tempo_bpm: int | None = None
    key: str | None = None
    meter: str | None = None
    loudness_lufs: float = -16.0
    has_stems: bool = False
    instruments: tuple[str, ...] = ()
    mood: str | None = None
    genre: str | None = None
    quality: Quality = "balanced"
    is_endless: bool = False
    prompt_changes: tuple[PromptChange, ...] = ()
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    continuation: Waveform | None = None

    def __post_init__(self) -> None:
        check_prompt(self.text, "prompt")
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadRequest(f"{name} is {value:g}; expected {low:g} to {high:g}{UNITS.get(name, '')}.", name)
        if self.quality not in get_args(Quality):
            raise BadRequest(f"quality is '{self.quality}'; expected one of {', '.join(get_args(Quality))}.", "quality")
        if len(self.instruments) > MAX_INSTRUMENTS:
            raise BadRequest(
                f"{len(self.instruments)} instruments were asked for; {MAX_INSTRUMENTS} can play. Name fewer.",
                "instruments",
            )
        if len(self.prompt_changes) > MAX_PROMPT_CHANGES:
            raise BadRequest(
                f"There are {len(self.prompt_changes)} prompt changes; the limit is {MAX_PROMPT_CHANGES}.",
                "prompt_changes",
            )
        times = [change.at_s for change in self.prompt_changes]
        if times != sorted(times):
            raise BadRequest("The prompt changes are not in order of time. Sort them.", "prompt_changes")
        if self.is_endless and self.duration_s is not None:
            raise BadRequest("Endless music has no duration. Send one of duration_s and is_endless.", "duration_s")
        if self.has_stems and (self.is_endless or self.prompt_changes):
            raise BadRequest("Stems need one piece: no prompt changes and not endless. Leave one out.", "has_stems")


def check_prompt(text: str, param: str) -> None:
    """Raises `BadRequest` for an empty or too long prompt."""
    if not text.strip():
        raise BadRequest("The prompt is empty; expected a description such as 'calm piano in A minor'.", param)
    if len(text) > MAX_PROMPT_CHARS:
        raise BadRequest(f"The prompt has {len(text)} characters; the limit is {MAX_PROMPT_CHARS}. Shorten it.", param)


@dataclass(frozen=True)
class PieceFacts:
    """What is known of the piece that begins with a chunk: exact labels, and words that changed nothing."""

    text: str
    labels: dict[str, Any]
    not_understood: tuple[str, ...] = ()


@dataclass(frozen=True)
class MusicChunk:
    """The next piece of sound [C, N], and the same piece of every stem where stems were asked for.

    `start_s`: where it begins. `facts`: present in the first chunk of each piece (the first, and after each switch).
    """

    mix: Waveform
    stems: tuple[Waveform, ...] = ()
    start_s: float = 0.0
    facts: PieceFacts | None = None


class MusicStream(Protocol):
    """A piece while it is made. Iterating yields its chunks in order; the facts are known before the first one.

    `duration_s` is infinite for endless music. `ignored`: names of given options that had no effect.
    """

    sample_rate_hz: int
    n_channels: int
    duration_s: float
    labels: dict[str, Any]
    not_understood: tuple[str, ...]
    stem_names: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def midi(self) -> bytes | None:
        """The piece as a Standard MIDI File, where the engine has one."""
        ...

    def __iter__(self) -> Iterator[MusicChunk]: ...

    def change_prompt(self, text: str) -> None:
        """Follow `text` from the next chunk on. May be called from another thread. Raises `NotSupported`."""
        ...

    def cancel(self) -> None:
        """Ends the iteration at the next chunk. May be called from another thread."""
        ...


@dataclass(frozen=True, slots=True)
class MusicCapabilities:
    """What an engine can do beside text to sound of a length."""

    has_midi: bool = False
    has_stems: bool = False
    has_endless: bool = False
    has_prompt_changes: bool = False
    has_continuation: bool = False
    has_sampling: bool = False


class MusicEngine(Protocol):
    """Makes music from text. `begin` is quick and checks the request; the work is done while iterating.

    Streams of several threads may be iterated at the same time.
    """

    name: str
    sample_rate_hz: int
    n_channels: int
    capabilities: MusicCapabilities

    def begin(self, request: MusicRequest) -> MusicStream: ...


def reject_unsupported(engine: MusicEngine, request: MusicRequest) -> tuple[str, ...]:
    """Raises `BadRequest` for what the engine cannot do; returns the names of options that only have no effect."""
    can = engine.capabilities
    wanted = (
        ("stems", "has_stems", request.has_stems, can.has_stems),
        ("endless music", "is_endless", request.is_endless, can.has_endless),
        ("prompt changes", "prompt_changes", bool(request.prompt_changes), can.has_prompt_changes),
        ("continuation of a recording", "continuation", request.continuation is not None, can.has_continuation),
    )
    for what, param, is_wanted, is_possible in wanted:
        if is_wanted and not is_possible:
            raise BadRequest(
                f"The engine '{engine.name}' has no {what}. Leave it out, or choose another engine.", param
            )
    if can.has_sampling:
        return ()
    return tuple(name for name in ("guidance", "temperature", "top_k") if getattr(request, name) is not None)
