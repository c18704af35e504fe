"""One replica of the application, called with ASGI messages instead of over a socket."""

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

# Entries of an ASGI scope that are plain data and can be sent to another process.
SCOPE_KEYS = (
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers",
    "client", "server",
)  # fmt: skip
# A cancelled request normally ends within a frame; the rest is cancelled after this time.
CANCEL_TIMEOUT_S = 5.0


class Replica:
    """Loads one engine and handles requests with it. Call `open()` first."""

    def __init__(
        self, settings: Settings, role: Role, build: Callable[[Settings], SpeechEngine] = build_engine
    ) -> None:
        self.app = create_app(settings, build, role)
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Starts the application and waits for its engine. Raises `NotReady` if that fails."""
        await self._open.enter_async_context(self.app.router.lifespan_context(self.app))
        await asyncio.to_thread(self._host.wait, None)
        self.check_health()

    def check_health(self) -> None:
        """Raises `NotReady` without an engine, `EngineFailure` if one of its threads has died."""
        self._host.engine.status()

    async def close(self) -> None:
        """Shuts the application and its engine down."""
        await self._open.aclose()

    async def handle(self, scope: Scope, body: bytes) -> AsyncGenerator[Message, None]:
        """Yields the ASGI messages of the response. Closing the generator early acts as a client disconnect."""
        async for message in run_app(self.app, scope, body):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-replica", str(os.getpid()).encode())]
            yield message

    async def speak(
        self, request: SpeechRequest, scope: dict[str, Any], is_timed: bool
    ) -> AsyncGenerator[SpeechEvent, None]:
        """Yields the chunks of one speech, then `SpeechEnd` or the error that ended it.

        `scope` is that of the client connection; its `state` has the request id and the key name. Closing the generator
        early cancels the speech.
        """
        speech = SpeechRun(HTTPConnection({**scope, "app": self.app}), request, time.perf_counter())
        speech.is_streamed = True
        try:
            chunk: Waveform | None = await speech.open()
            while chunk is not None:
                yield chunk
                speech.sent(chunk.duration_s)
                chunk = await speech.next()
            sentences = tuple(await speech.sentences()) if is_timed else ()
            speech.finish()
            yield SpeechEnd(sentences)
        except PhonogramError as error:
            yield error
        except (asyncio.CancelledError, GeneratorExit):
            speech.cancel()
            raise
        finally:
            speech.close()

    @property
    def _host(self) -> EngineHost:
        return self.app.state.host


def plain_scope(scope: Scope) -> dict[str, Any]:
    """Returns the parts of a scope that another process needs, with the key name as its state."""
    state = {"key_name": scope.get("state", {}).get("key_name")}
    return {**{name: scope[name] for name in SCOPE_KEYS if name in scope}, "state": state}


async def run_app(app: ASGIApp, scope: Scope, body: bytes) -> AsyncGenerator[Message, None]:
    """Yields the messages that `app` sends for a request with this body. Re-raises its errors."""
    # A queue of one message gives the application backpressure.
    messages: asyncio.Queue[Message | None] = asyncio.Queue(1)
    is_disconnected = asyncio.Event()
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await is_disconnected.wait()
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
                # The response is complete, even if the application fails after it.
                return
        await running
    finally:
        is_disconnected.set()
        if not running.done():
            # Draining the queue unblocks an application that is still sending.
            drain = asyncio.create_task(_drain(messages))
            await asyncio.wait({running}, timeout=CANCEL_TIMEOUT_S)
            running.cancel()
            drain.cancel()
            await asyncio.wait({running})
        if not running.cancelled() and running.exception() is not None:
            log.debug("The application failed after its response: %s", running.exception())


async def _drain(messages: asyncio.Queue[Message | None]) -> None:
    while await messages.get() is not None:
        pass
