"""Protocol of the replicas, as the gateway uses them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message

from backend.audio.waveform import Waveform
from backend.errors import PhonogramError
from backend.runtime.request import SpeechRequest

# Attempts per request when replicas are lost, and the Retry-After of the error after the last one.
MAX_TRIES = 3
RETRY_S = 2


class ReplicaEnded(Exception):
    """A replica ended during a request."""


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """The end of a speech, with its sentence timestamps if they were requested."""

    sentences: tuple[Any, ...] = ()


# The last event of a speech is `SpeechEnd` or the error that ended it.
SpeechEvent = Waveform | SpeechEnd | PhonogramError


class ReplicaPool(Protocol):
    """Replicas of the application. Both methods raise `ReplicaEnded`, and `Busy` when all queues are full.

    Closing a generator early cancels the request.
    """

    def handle(self, scope: dict[str, Any], body: bytes) -> AsyncGenerator[Message, None]:
        """Yields the ASGI messages of one replica's response."""
        ...

    def speak(self, request: SpeechRequest, scope: dict[str, Any], is_timed: bool) -> AsyncGenerator[SpeechEvent, None]:
        """Yields the events of one speech. `scope`: the plain scope of the client connection, with its `state`."""
        ...
