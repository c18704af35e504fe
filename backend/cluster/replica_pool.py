"""Copies of the application, as the door sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message

from backend.audio.waveform import Waveform
from backend.errors import PhonogramError
from backend.runtime.request import SpeechRequest

# How many may be lost at work on one request before the door gives it up, and when to come back then.
MAX_TRIES = 3
RETRY_S = 2


class ReplicaEnded(Exception):
    """A replica ended while it was at work."""


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """A speech came to its end; `sentences` are timed, if that was asked for."""

    sentences: tuple[Any, ...] = ()


# What a replica tells of a speech. The last of it is `SpeechEnd`, or the error that ended it.
SpeechEvent = Waveform | SpeechEnd | PhonogramError


class ReplicaPool(Protocol):
    """Some copies of the application. Both methods raise `ReplicaEnded`, and `Busy` if all have as much waiting as they
    may. Closing an iterator early is the client's leaving."""

    def answer(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        """What one of them answers."""
        ...

    def speak(self, wanted: SpeechRequest, about: dict[str, Any], is_timed: bool) -> AsyncGenerator[SpeechEvent, None]:
        """One speech by one of them. `about`: the plain scope of the connection it is for, with its `state`."""
        ...
