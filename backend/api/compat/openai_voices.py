"""Mapping of OpenAI's voice names to built-in voices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

# Nearest in gender and accent; these are original voices, not copies. A test checks that all values differ.
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
    """A voice of the engine."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


class ResolvedVoice(NamedTuple):
    """The engine's voice (None: its default) and a note for the client if it is a fallback."""

    voice: str | None
    note: str = ""


def resolve_voice(name: str, voices: Iterable[Named]) -> ResolvedVoice:
    """Returns the voice with this id or name, else the built-in voice mapped to this OpenAI name.

    Falls back to the default voice if the checkpoint lacks the mapped one. Other names are returned unchanged.
    """
    mapped = OPENAI_VOICES.get(name.strip().casefold())
    if mapped is None:
        return ResolvedVoice(name)
    known = {text.strip().casefold() for voice in voices for text in (voice.id, voice.name)}
    if name.strip().casefold() in known:
        return ResolvedVoice(name)
    if mapped in known:
        return ResolvedVoice(mapped)
    return ResolvedVoice(
        None, f"'{name.strip()}' maps to '{mapped}', which this checkpoint lacks; the default voice is used."
    )
