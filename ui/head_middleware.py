"""The front page with our own lines in its head; from Gradio's head they would come only when all else is loaded."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FrontPage:
    """Passes everything on to `app`, and puts `lines` first into the head of the page at `/`."""

    def __init__(self, app: ASGIApp, lines: str) -> None:
        self._app = app
        self._lines = f"<head>{lines}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        opening: Message = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                opening.update(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            page = bytes(body).replace(b"<head>", self._lines, 1)
            # The length has changed, except where a HEAD request has no body at all.
            length = [(b"content-length", str(len(page)).encode())] if page else []
            kept = [(name, value) for name, value in opening["headers"] if not page or name != b"content-length"]
            await send({**opening, "headers": kept + length})
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, gather)
