"""Splits large response bodies, so that a slow client neither delays others nor fills the send buffer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The timeout applies to each chunk; a chunk of this size is sent without a noticeable delay for other clients.
CHUNK_BYTES = 64 * 2**10


class ChunkingMiddleware:
    """Sends bodies in chunks of `CHUNK_BYTES`; each waits until the client has read most of the previous ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_chunked(message: Message) -> None:
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or len(body) <= CHUNK_BYTES:
                await send(message)
                return
            rest = memoryview(body)
            while len(rest) > CHUNK_BYTES:
                await send({**message, "body": bytes(rest[:CHUNK_BYTES]), "more_body": True})
                rest = rest[CHUNK_BYTES:]
            await send({**message, "body": bytes(rest)})

        await self.app(scope, receive, send_chunked)
