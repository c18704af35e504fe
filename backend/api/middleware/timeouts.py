"""How long a client may let the server wait: with the rest of its request, and with taking its answer."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Slower bodies are not waited for once the limit is over, or a byte now and then would hold on to what came before.
LEAST_BYTES_PER_S = 8 * 2**10


class ClientStalled(RuntimeError):
    """A client that stopped taking its answer; the server closes the connection."""


class TimeoutMiddleware:
    """Gives up on a client after `limit_s` without progress, so that it holds no place others wait for."""

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self.app = app
        self.limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def prompt_send(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self.limit_s)
            except asyncio.TimeoutError:
                raise ClientStalled(f"The client took nothing of its answer for {self.limit_s:g} s.") from None

        if scope["type"] == "websocket":
            # It may be silent as long as it likes, as long as it listens.
            await self.app(scope, receive, prompt_send)
        elif scope["type"] == "http":
            await self.app(scope, self._prompt(receive), prompt_send)
        else:
            await self.app(scope, receive, send)

    def _prompt(self, receive: Receive) -> Receive:
        has_body = False
        began_s, n_read = time.monotonic(), 0

        async def prompt_receive() -> Message:
            nonlocal has_body, n_read
            if has_body:
                # What comes now is the client's leaving, which may take as long as the answer.
                return await receive()
            left_s = began_s + self.limit_s + n_read / LEAST_BYTES_PER_S - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(self.limit_s, left_s))
            except asyncio.TimeoutError:
                raise HTTPException(
                    408,
                    f"Nothing of the request came for {self.limit_s:g} s (CLIENT_TIMEOUT_S), or too little. Send it again.",
                ) from None
            n_read += len(message.get("body", b""))
            has_body = not message.get("more_body", False)
            return message

        return prompt_receive
