"""Large answers in portions, so that one client's megabytes neither hold up the others nor wait in memory for it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Whoever takes nothing of a portion is given up; one that is this small goes out without being noticed by others.
PORTION_BYTES = 64 * 2**10


class ChunkingMiddleware:
    """Hands on bodies in pieces of `PORTION_BYTES`; each waits until the client has taken most of those before."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def portioned(message: Message) -> None:
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= PORTION_BYTES:
                await send(message)
                return
            left = memoryview(body)
            while len(left) > PORTION_BYTES:
                await send({**message, "body": bytes(left[:PORTION_BYTES]), "more_body": True})
                left = left[PORTION_BYTES:]
            await send({**message, "body": bytes(left)})

        await self.app(scope, receive, portioned)
