"""Timeouts for clients that send a request or read a response too slowly."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Minimum upload rate once the limit has passed, so that a client cannot keep its slot with a byte now and then.
MIN_BYTES_PER_S = 8 * 2**10


class ClientStalled(RuntimeError):
    """The client stopped reading the response; the server closes the connection."""


class TimeoutMiddleware:
    """Aborts requests without progress for `limit_s`, so that stalled clients free their slots."""

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self.app = app
        self.limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_timeout(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self.limit_s)
            except asyncio.TimeoutError:
                raise ClientStalled(f"The client read nothing of the response for {self.limit_s:g} s.") from None

        if scope["type"] == "websocket":
            # A WebSocket client may be silent as long as it reads; SOCKET_IDLE_S limits that.
            await self.app(scope, receive, send_with_timeout)
        elif scope["type"] == "http":
            await self.app(scope, self._with_timeout(receive), send_with_timeout)
        else:
            await self.app(scope, receive, send)

    def _with_timeout(self, receive: Receive) -> Receive:
        has_body = False
        started_s, n_read = time.monotonic(), 0

        async def receive_with_timeout() -> Message:
            nonlocal has_body, n_read
            if has_body:
                # The next message is the disconnect, which may take as long as the response.
                return await receive()
            left_s = started_s + self.limit_s + n_read / MIN_BYTES_PER_S - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(self.limit_s, left_s))
            except asyncio.TimeoutError:
                raise HTTPException(
                    408,
                    f"The request body stalled for {self.limit_s:g} s (CLIENT_TIMEOUT_S) or was too slow. Send it again.",
                ) from None
            n_read += len(message.get("body", b""))
            has_body = not message.get("more_body", False)
            return message

        return receive_with_timeout
