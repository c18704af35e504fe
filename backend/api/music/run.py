"""Music in progress: its own threads, a bounded number of pieces, and what is counted of them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from backend.api.dependencies import host_of, metrics_of
from backend.errors import Busy, EngineFailure
from backend.pipeline.music.engine import MusicChunk, MusicRequest, MusicStream
from backend.pipeline.music.engines import MusicEngines

Result = TypeVar("Result")

# Pieces that are made at once; a core makes about 40 s of composed music in a second.
MAX_PIECES = 8


class MusicService:
    """The engines and the threads that run them, apart from those of speech."""

    def __init__(self) -> None:
        self.engines = MusicEngines()
        self.n_open = 0
        self._threads = ThreadPoolExecutor(MAX_PIECES, "music")

    async def run(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a blocking call in a thread of the service."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, call, *arguments)

    def close(self) -> None:
        """Lets running calls end and starts no new ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def music_of(connection: HTTPConnection) -> MusicService:
    return connection.app.state.music


class MusicRun:
    """One piece from its request to its last chunk; leaving the context cancels what is unfinished."""

    def __init__(self, connection: HTTPConnection, request: MusicRequest, engine: str):
        self._service, self._metrics = music_of(connection), metrics_of(connection)
        self._host = host_of(connection)
        self._request, self._engine = request, engine
        self._stream: MusicStream | None = None
        self._chunks: Iterator[MusicChunk] = iter(())
        self._outcome = "refused"
        self.is_cancelled = False
        self.audio_s = 0.0

    @property
    def stream(self) -> MusicStream:
        assert self._stream is not None, "the piece was not begun"
        return self._stream

    async def __aenter__(self) -> MusicRun:
        self._host.require_open()
        if self._service.n_open >= MAX_PIECES:
            self._metrics.music.labels("refused").inc()
            raise Busy(f"{MAX_PIECES} pieces of music are already being made. Try again soon.", retry_after_s=2.0)
        self._service.n_open += 1
        self._metrics.open_music.inc()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None and self._outcome != "done":
            self._stream.cancel()
        self._service.n_open -= 1
        self._metrics.open_music.dec()
        self._metrics.music.labels("cancelled" if self.is_cancelled else self._outcome).inc()
        self._metrics.music_audio_s.inc(self.audio_s)

    async def begin(self) -> MusicStream:
        """Plans the piece; its facts are known then. Raises the engine's errors for what cannot be made."""

        def begin() -> MusicStream:
            return self._service.engines.get(self._engine).begin(self._request)

        self._stream = await self._service.run(begin)
        self._outcome = "failed"
        if self.is_cancelled:
            self._stream.cancel()
        self._chunks = iter(self._stream)
        return self._stream

    async def next(self) -> MusicChunk | None:
        """Returns the next chunk, or None after the last."""
        chunk = await self._service.run(next, self._chunks, None)
        if chunk is None:
            if not self.audio_s:
                raise EngineFailure("The engine made no sound for this prompt. Change the prompt or the seed.")
            self._outcome = "done"
        else:
            self.audio_s += chunk.mix.duration_s
        return chunk

    async def run(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a blocking call, such as encoding, in a thread of the service."""
        return await self._service.run(call, *arguments)

    def finish(self) -> None:
        """Marks the piece as done where its sound is not needed."""
        self._outcome = "done"

    def cancel(self) -> None:
        """Cancels the piece, because the client has disconnected or asked for it."""
        self.is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()
