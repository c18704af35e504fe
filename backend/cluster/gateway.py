"""The one address of a cluster: requests go to replicas, and to another one if theirs is lost before it spoke."""

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

# What is kept on disk is written by one process, the desk. What it was asked is not asked twice.
DESK_PATHS = ("/jobs", "/voices", "/v1/audio/voices", "/v1/voices", "/v1/references")


class Gateway:
    """An ASGI application that passes requests on."""

    def __init__(self, speakers: ReplicaPool, desk: ReplicaPool, under_way: InFlight, n_sockets: int) -> None:
        self._speakers, self._desk, self._under_way = speakers, desk, under_way
        self._conversations = WebSocketGateway(speakers, under_way, n_sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._conversations(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            if scope["path"] == "/ready":
                self._under_way.require_open()
            await self._ask(scope, receive, send)
        else:
            with self._under_way.request():
                await self._ask(scope, receive, send)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole_body(receive)
        is_at_desk = scope["path"].startswith(DESK_PATHS)
        replicas = self._desk if is_at_desk else self._speakers
        n_tries = 1 if is_at_desk and scope["method"] not in ("GET", "HEAD") else MAX_TRIES
        for n_left in reversed(range(n_tries)):
            passing = _ProxiedRequest(send)
            try:
                await passing.on(replicas.answer(plain_scope(scope), body), receive)
                return
            except ReplicaEnded as error:
                log.warning("A replica was lost at %s %s; tries left: %d", scope["method"], scope["path"][:80], n_left)
                if passing.is_started:
                    raise StreamAborted("The replica that made this answer was lost.") from error
        raise HTTPException(
            503,
            "The replica at work on this was lost, and whether it was done is not known. Look before trying again."
            if is_at_desk and n_tries == 1
            else f"{MAX_TRIES} replicas were lost at work on this. Try again later.",
            headers={"Retry-After": str(RETRY_S), "X-Should-Retry": "false" if n_tries == 1 else "true"},
        )


class _ProxiedRequest:
    """One try. The head of the answer waits for its first bytes, so that a replica may be lost until then."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._has_left = False
        self.is_started = False

    async def on(self, messages: AsyncGenerator[Message, None], receive: Receive) -> None:
        """Pass all on, or stop where the client leaves."""
        passing = asyncio.current_task()
        assert passing is not None, "this runs in a task"

        def leave() -> None:
            self._has_left = True
            passing.cancel()

        try:
            async with on_disconnect(receive, leave), aclosing(messages):
                async for message in messages:
                    await self._pass(message)
        except asyncio.CancelledError:
            # Closing the messages has told the replica; if somebody else cancels, it is for them to know.
            if not self._has_left:
                raise

    async def _pass(self, message: Message) -> None:
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
    settings: Settings, speakers: ReplicaPool, desk: ReplicaPool, n_sockets: int = MAX_SOCKETS
) -> FastAPI:
    """The application that listens to the network in front of replicas: keys, limits and answers as ever."""
    app = FastAPI(title="Phonogram", version=__version__, openapi_url=None)
    app.state.settings = settings
    install_middleware(app, settings)
    errors.install(app)
    app.state.host = InFlight()
    app.mount("/", Gateway(speakers, desk, app.state.host, n_sockets))
    return app
