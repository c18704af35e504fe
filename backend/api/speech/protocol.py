"""One speech as a conversation sees it, wherever it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from backend.api.speech.playback_clock import PlaybackClock
from backend.audio.waveform import Waveform
from backend.runtime.request import SpeechRequest


class SpeechHandle(Protocol):
    """A speech that was asked for. `close` ends it in any case, and is called once."""

    playback: PlaybackClock

    async def open(self) -> Waveform:
        """Start to speak; returns the first piece. Raises what it is refused with, and `Cancelled` once left."""
        ...

    async def next(self) -> Waveform | None:
        """The next piece; None after the last. Raises why it broke off."""
        ...

    async def sentences(self) -> Sequence[Any]:
        """When what is said; after the last piece."""
        ...

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a call that computes in a thread."""
        ...

    def sent(self, duration_s: float) -> None: ...

    def finish(self) -> None: ...

    def leave(self) -> None: ...

    def close(self) -> None: ...


# Asks for a speech; the flag says whether its `sentences` are wanted.
Speak = Callable[[SpeechRequest, bool], SpeechHandle]
