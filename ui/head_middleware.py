"""Middleware that adds lines to the head of the Gradio page; Gradio's own option would load them last."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Inserts `lines` at the start of the head of the page at `/`; other requests pass through unchanged."""

    def __init__(self, app: ASGIApp, lines: str) -> None:
        self._app = app
        self._lines = f"<head>{lines}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            page = bytes(body).replace(b"<head>", self._lines, 1)
            # The length has changed, except for a HEAD request, which has no body.
            length = [(b"content-length", str(len(page)).encode())] if page else []
            others = [(name, value) for name, value in start["headers"] if not page or name != b"content-length"]
            await send({**start, "headers": others + length})
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, collect)
