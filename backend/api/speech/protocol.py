"""Protocol of a speech that runs in this process or on a replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from backend.api.metrics import PlaybackClock
from backend.audio.waveform import Waveform
from backend.runtime.request import SpeechRequest


class SpeechHandle(Protocol):
    """One speech request. Callers call `close` exactly once, whatever the outcome."""

    playback: PlaybackClock

    async def open(self) -> Waveform:
        """Starts the speech and returns the first chunk. Raises the engine's errors, and `Cancelled` once cancelled."""
        ...

    async def next(self) -> Waveform | None:
        """Returns the next chunk, or None after the last. Raises the error that ended the speech."""
        ...

    async def sentences(self) -> Sequence[Any]:
        """Returns the sentence timestamps; complete after the last chunk."""
        ...

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a blocking call in a thread."""
        ...

    def sent(self, duration_s: float) -> None: ...

    def finish(self) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


# Creates a speech; the flag requests its `sentences`.
CreateSpeech = Callable[[SpeechRequest, bool], SpeechHandle]
