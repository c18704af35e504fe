"""One copy of the application, asked message by message instead of over a socket."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Scope

from backend.api.engine_host import EngineHost, SpeechEngine
from backend.api.speech.response import SpeechRun
from backend.app import Role, build_engine, create_app
from backend.audio.waveform import Waveform
from backend.cluster.replica_pool import SpeechEnd, SpeechEvent
from backend.errors import PhonogramError
from backend.runtime.request import SpeechRequest
from backend.settings import Settings

log = logging.getLogger(__name__)

# Of an ASGI scope, what is plain data and so can be sent to another process.
SENT = (
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers",
    "client", "server",
)  # fmt: skip
# Whoever speaks to a client that has left ends within a frame; this is for what hangs.
LEAVING_S = 5.0


class Replica:
    """Loads one engine and answers requests with it. `await open()` before the first."""

    def __init__(
        self, settings: Settings, role: Role, build: Callable[[Settings], SpeechEngine] = build_engine
    ) -> None:
        self.app = create_app(settings, build, role)
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Start the application and wait for its engine. Raises why there is none."""
        await self._open.enter_async_context(self.app.router.lifespan_context(self.app))
        await asyncio.to_thread(self._host.wait, None)
        self.require_well()

    def require_well(self) -> None:
        """Raise `NotReady` without an engine, `EngineFailure` if one of its threads has died."""
        self._host.engine.status()

    async def close(self) -> None:
        """End the engine's threads."""
        await self._open.aclose()

    async def answer(self, scope: Scope, body: bytes) -> AsyncGenerator[Message, None]:
        """The messages of an answer. Closing the iterator early is the client's leaving."""
        async for message in answered(self.app, scope, body):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-replica", str(os.getpid()).encode())]
            yield message

    async def speak(
        self, wanted: SpeechRequest, about: dict[str, Any], is_timed: bool
    ) -> AsyncGenerator[SpeechEvent, None]:
        """One speech in pieces, then `SpeechEnd` or the error that ended it. Closing the iterator early is the client's leaving.

        `about` is the scope of the connection it is for; its `state` names the request and whose it is.
        """
        speech = SpeechRun(HTTPConnection({**about, "app": self.app}), wanted, time.perf_counter())
        speech.is_streamed = True
        try:
            piece: Waveform | None = await speech.open()
            while piece is not None:
                yield piece
                speech.sent(piece.duration_s)
                piece = await speech.next()
            sentences = tuple(await speech.sentences()) if is_timed else ()
            speech.finish()
            yield SpeechEnd(sentences)
        except PhonogramError as error:
            yield error
        except (asyncio.CancelledError, GeneratorExit):
            speech.leave()
            raise
        finally:
            speech.close()

    @property
    def _host(self) -> EngineHost:
        return self.app.state.host


def plain_scope(scope: Scope) -> dict[str, Any]:
    """What of a scope another process needs; of its state, whose request it is."""
    state = {"key_name": scope.get("state", {}).get("key_name")}
    return {**{name: scope[name] for name in SENT if name in scope}, "state": state}


async def answered(app: ASGIApp, scope: Scope, body: bytes) -> AsyncGenerator[Message, None]:
    """What `app` sends for a request whose body is known. Raises what the application raises after its start."""
    # One message waits at most, so that the application feels how fast it is listened to.
    messages: asyncio.Queue[Message | None] = asyncio.Queue(1)
    has_left = asyncio.Event()
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await has_left.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        try:
            await app({**scope, "state": dict(scope.get("state", {})), "extensions": {}}, receive, messages.put)
        finally:
            with suppress(asyncio.CancelledError):
                await messages.put(None)

    running = asyncio.create_task(run())
    try:
        while (message := await messages.get()) is not None:
            yield message
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Whatever fails now, the answer is whole.
                return
        await running
    finally:
        has_left.set()
        if not running.done():
            # The application may be sending to nobody; it gets a moment to end by itself.
            drain = asyncio.create_task(_drained(messages))
            await asyncio.wait({running}, timeout=LEAVING_S)
            running.cancel()
            drain.cancel()
            await asyncio.wait({running})
        if not running.cancelled() and running.exception() is not None:
            log.debug("The application failed after its answer: %s", running.exception())


async def _drained(messages: asyncio.Queue[Message | None]) -> None:
    while await messages.get() is not None:
        pass
