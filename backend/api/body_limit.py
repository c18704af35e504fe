"""The size of a request body, enforced while it is read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import LimitExceeded


class BodyLimit:
    """Stops reading a body once it is larger than `max_bytes`, whatever its header says."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        n_read = 0
        announced = Headers(scope=scope).get("content-length", "")
        is_too_large = announced.isdecimal() and int(announced[:20]) > self.max_bytes

        async def limited() -> Message:
            nonlocal n_read
            if is_too_large:
                raise self._refusal()
            message = await receive()
            if message["type"] == "http.request":
                n_read += len(message.get("body", b""))
                if n_read > self.max_bytes:
                    raise self._refusal()
            return message

        await self.app(scope, limited, send)

    def _refusal(self) -> LimitExceeded:
        return LimitExceeded(
            f"The request body is larger than {self.max_bytes} bytes (MAX_UPLOAD_MB). Send a shorter recording."
        )
