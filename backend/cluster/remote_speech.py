"""A speech made by a replica, piece by piece for a conversation at the door."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from backend.api.speech.playback_clock import PlaybackClock
from backend.audio.waveform import Waveform
from backend.cluster.in_flight import InFlight
from backend.cluster.replica_pool import MAX_TRIES, RETRY_S, ReplicaEnded, ReplicaPool, SpeechEnd, SpeechEvent
from backend.errors import Cancelled, EngineFailure, PhonogramError, ReplicaLost
from backend.runtime.request import SpeechRequest

log = logging.getLogger(__name__)


class RemoteSpeech:
    """A `SpeechHandle`. The replica counts it; a replica that is lost before the first sound is followed by another."""

    def __init__(
        self, replicas: ReplicaPool, under_way: InFlight, wanted: SpeechRequest, about: dict[str, Any], is_timed: bool
    ) -> None:
        self.playback = PlaybackClock(time.perf_counter())
        self._replicas, self._under_way, self._asked = replicas, under_way, (wanted, about, is_timed)
        # Without a limit: what a replica has said lies in this process anyway, and it is not held up by who listens.
        self._told: asyncio.Queue[SpeechEvent] = asyncio.Queue()
        self._pulling: asyncio.Task[None] | None = None
        self._said = SpeechEnd()
        self._is_left = False

    async def open(self) -> Waveform:
        """Ask a replica; returns the first piece. Raises `ShuttingDown` where the door is being closed."""
        self._under_way.require_open()
        if not self._is_left:
            self._pulling = asyncio.create_task(self._pull())
            self._pulling.add_done_callback(self._report)
        first = await self.next()
        if first is None:
            raise EngineFailure("The engine made no sound of this text. Change the text, or try another voice.")
        return first

    async def next(self) -> Waveform | None:
        told = await self._told.get()
        if isinstance(told, PhonogramError):
            raise told
        if isinstance(told, SpeechEnd):
            self._said = told
            return None
        return told

    async def sentences(self) -> Sequence[Any]:
        return self._said.sentences

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(call, *arguments)

    def sent(self, duration_s: float) -> None:
        """Sound of this length went to the client just now."""
        self.playback.sent(duration_s, time.perf_counter())

    def finish(self) -> None:
        """The replica knows already."""

    def leave(self) -> None:
        """The client has gone, or wants no more of this: so does the replica."""
        self._is_left = True
        self.close()
        self._told.put_nowait(Cancelled("What was being said was cancelled."))

    def close(self) -> None:
        """Stop the replica if it is still at it."""
        if self._pulling is not None:
            self._pulling.cancel()

    async def _pull(self) -> None:
        for n_left in reversed(range(MAX_TRIES)):
            told: SpeechEvent | None = None
            with suppress(ReplicaEnded):
                async with aclosing(self._replicas.speak(*self._asked)) as messages:
                    async for told in messages:
                        self._told.put_nowait(told)
            if isinstance(told, SpeechEnd | PhonogramError):
                return
            log.warning("A replica was lost at a sentence of a conversation; tries left: %d", n_left)
            if told is not None:
                raise ReplicaLost(
                    "The replica that spoke this was lost. Connect again, and send what was not heard.", RETRY_S
                )
        raise ReplicaLost(f"{MAX_TRIES} replicas were lost at work on this. Connect again later.", RETRY_S)

    def _report(self, pulling: asyncio.Task[None]) -> None:
        """Whoever waits for a piece learns of every end."""
        error = None if pulling.cancelled() else pulling.exception()
        if isinstance(error, PhonogramError):
            self._told.put_nowait(error)
        elif error is not None:
            log.error("A replica failed at a sentence.", exc_info=error)
            self._told.put_nowait(EngineFailure("Something failed inside the server. Its log says what."))
