"""Gateway of a cluster: forwards requests to replicas, and retries on another one if a replica is lost in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import FastAPI, HTTPException
from starlette.types import Message, Receive, Scope, Send

from backend import __version__
from backend.api import errors
from backend.api.middleware.install import install_middleware
from backend.api.routes.speech_socket import MAX_SOCKETS
from backend.api.speech.response import StreamAborted, on_disconnect
from backend.cluster.in_flight import InFlight
from backend.cluster.replica import plain_scope
from backend.cluster.replica_pool import MAX_TRIES, RETRY_S, ReplicaEnded, ReplicaPool
from backend.cluster.websocket_gateway import WebSocketGateway
from backend.settings import Settings

log = logging.getLogger(__name__)

# Only the primary replica writes to disk. Its unsafe requests are not retried.
PRIMARY_PATHS = ("/jobs", "/voices", "/v1/audio/voices", "/v1/voices", "/v1/references")


class Gateway:
    """An ASGI application that forwards requests to replicas."""

    def __init__(self, workers: ReplicaPool, primary: ReplicaPool, in_flight: InFlight, max_sockets: int) -> None:
        self._workers, self._primary, self._in_flight = workers, primary, in_flight
        self._sockets = WebSocketGateway(workers, in_flight, max_sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._sockets(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            if scope["path"] == "/ready":
                self._in_flight.require_open()
            await self._forward(scope, receive, send)
        else:
            with self._in_flight.request():
                await self._forward(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole_body(receive)
        is_for_primary = scope["path"].startswith(PRIMARY_PATHS)
        replicas = self._primary if is_for_primary else self._workers
        n_tries = 1 if is_for_primary and scope["method"] not in ("GET", "HEAD") else MAX_TRIES
        for n_left in reversed(range(n_tries)):
            proxied = _ProxiedRequest(send)
            try:
                await proxied.run(replicas.handle(plain_scope(scope), body), receive)
                return
            except ReplicaEnded as error:
                log.warning("A replica was lost at %s %s; tries left: %d", scope["method"], scope["path"][:80], n_left)
                if proxied.is_started:
                    raise StreamAborted("The replica that sent this response was lost.") from error
        raise HTTPException(
            503,
            "The replica of this request was lost; the request may or may not have completed. Check before retrying."
            if is_for_primary and n_tries == 1
            else f"{MAX_TRIES} replicas were lost during this request. Try again later.",
            headers={"Retry-After": str(RETRY_S), "X-Should-Retry": "false" if n_tries == 1 else "true"},
        )


class _ProxiedRequest:
    """One attempt. The response headers are held until the first body bytes, so that a retry is possible until then."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._is_disconnected = False
        self.is_started = False

    async def run(self, messages: AsyncGenerator[Message, None], receive: Receive) -> None:
        """Sends all messages to the client, or stops when the client disconnects."""
        task = asyncio.current_task()
        assert task is not None, "this runs in a task"

        def disconnect() -> None:
            self._is_disconnected = True
            task.cancel()

        try:
            async with on_disconnect(receive, disconnect), aclosing(messages):
                async for message in messages:
                    await self._forward(message)
        except asyncio.CancelledError:
            # After a disconnect, closing `messages` has cancelled the replica. Other cancellations propagate.
            if not self._is_disconnected:
                raise

    async def _forward(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        if self._head is not None:
            self.is_started = True
            await self._send(self._head)
            self._head = None
        await self._send(message)


async def _whole_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def create_gateway(
    settings: Settings, workers: ReplicaPool, primary: ReplicaPool, max_sockets: int = MAX_SOCKETS
) -> FastAPI:
    """Returns the application in front of the replicas, with the access control and error format of one server."""
    app = FastAPI(title="Phonogram", version=__version__, openapi_url=None)
    app.state.settings = settings
    install_middleware(app, settings)
    errors.install(app)
    app.state.host = InFlight()
    app.mount("/", Gateway(workers, primary, app.state.host, max_sockets))
    return app
