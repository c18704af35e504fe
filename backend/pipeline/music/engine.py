"""The interface of all music engines: a request in words, sound in pieces, and what is known of the piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from backend.audio.waveform import Waveform
from backend.errors import BadRequest

MAX_SEED = 2**63 - 1
MIN_LUFS, MAX_LUFS = -40.0, -8.0


@dataclass(frozen=True, slots=True)
class MusicRequest:
    """Music asked for in words; what is given beside the text wins over it.

    `tempo_bpm` counts beats of the meter; `loudness_lufs` is integrated loudness by ITU-R BS.1770, -40 to -8. Raises
    `BadRequest` for values out of range; each engine checks what only it can know.
    """

    text: str
    duration_s: float | None = None
    seed: int = 0
    tempo_bpm: int | None = None
    key: str | None = None
    meter: str | None = None
    loudness_lufs: float = -16.0
    has_stems: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise BadRequest(f"seed is {self.seed}; expected 0 to {MAX_SEED}.", "seed")
        if not MIN_LUFS <= self.loudness_lufs <= MAX_LUFS:
            raise BadRequest(
                f"loudness_lufs is {self.loudness_lufs:g}; expected {MIN_LUFS:g} to {MAX_LUFS:g} LUFS.", "loudness_lufs"
            )


@dataclass(frozen=True)
class MusicChunk:
    """The next piece of sound [C, N], and the same piece of every stem where stems were asked for."""

    mix: Waveform
    stems: tuple[Waveform, ...] = ()


class MusicStream(Protocol):
    """A piece while it is made. Iterating yields its chunks in order; the facts are known before the first one."""

    sample_rate_hz: int
    n_channels: int
    duration_s: float
    labels: dict[str, Any]
    not_understood: tuple[str, ...]
    stem_names: tuple[str, ...]

    @property
    def midi(self) -> bytes | None:
        """The piece as a Standard MIDI File, where the engine has one."""
        ...

    def __iter__(self) -> Iterator[MusicChunk]: ...

    def cancel(self) -> None:
        """Ends the iteration at the next chunk. May be called from another thread."""
        ...


class MusicEngine(Protocol):
    """Makes music from text. `begin` is quick and checks the request; the work is done while iterating."""

    name: str
    sample_rate_hz: int
    n_channels: int
    has_midi: bool
    has_stems: bool

    def begin(self, request: MusicRequest) -> MusicStream: ...
