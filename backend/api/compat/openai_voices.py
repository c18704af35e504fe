"""OpenAI's voice names, and the built-in voices that answer to them here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

# Nearest in gender and accent; they are voices of our own, not copies. Tests hold that each value is distinct.
OPENAI_VOICES = {
    "alloy": "af_alloy",
    "ash": "am_adam",
    "ballad": "bm_george",
    "cedar": "am_eric",
    "coral": "af_bella",
    "echo": "am_echo",
    "fable": "bm_fable",
    "marin": "af_heart",
    "nova": "af_nova",
    "onyx": "am_fenrir",
    "sage": "af_sarah",
    "shimmer": "af_sky",
    "verse": "am_liam",
}


class Named(Protocol):
    """A voice as the engine lists it."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


class ResolvedVoice(NamedTuple):
    """Whom to ask the engine for (None: its default), and what to tell a caller who asked for another."""

    voice: str | None
    note: str = ""


def resolve_voice(wanted: str, there: Iterable[Named]) -> ResolvedVoice:
    """The voice that speaks for `wanted`: a voice of that very name or id, else the one OpenAI's name stands for.

    Where the loaded checkpoint lacks that one, its default voice speaks. Any other name is passed on as it is.
    """
    stands_for = OPENAI_VOICES.get(wanted.strip().casefold())
    if stands_for is None:
        return ResolvedVoice(wanted)
    known = {plain.strip().casefold() for voice in there for plain in (voice.id, voice.name)}
    if wanted.strip().casefold() in known:
        return ResolvedVoice(wanted)
    if stands_for in known:
        return ResolvedVoice(stands_for)
    return ResolvedVoice(
        None, f"'{wanted.strip()}' is '{stands_for}' here, which this checkpoint lacks; its default speaks."
    )
