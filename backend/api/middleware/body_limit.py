"""The size of request bodies, of each and of all together, enforced while they are read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import Busy, LimitExceeded

# Ordinary requests are never refused for the uploads of others.
FREE_BYTES = 64 * 2**10
RETRY_S = 2.0


class BodyLimitMiddleware:
    """Stops reading a body once it is larger than `max_bytes`, whatever its header says.

    What has come of all bodies counts until their requests are answered; who goes beyond `total_bytes` is told to come
    back.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, total_bytes: int) -> None:
        self.app = app
        self.max_bytes, self.total_bytes = max_bytes, max(max_bytes, total_bytes)
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        n_read = n_held = 0
        announced = Headers(scope=scope).get("content-length", "")
        n_announced = int(announced[:20]) if announced.isdecimal() else 0

        async def limited() -> Message:
            nonlocal n_read, n_held
            if n_announced > self.max_bytes:
                raise self._refusal()
            if n_read == 0:
                # Nothing is set aside for what is only announced, but what cannot fit now is not begun.
                self._require_room(n_announced - FREE_BYTES)
            message = await receive()
            if message["type"] == "http.request":
                n_read += len(message.get("body", b""))
                if n_read > self.max_bytes:
                    raise self._refusal()
                n_more = max(0, n_read - FREE_BYTES) - n_held
                self._require_room(n_more)
                self.held_bytes += n_more
                n_held += n_more
            return message

        try:
            await self.app(scope, limited, send)
        finally:
            self.held_bytes -= n_held

    def _require_room(self, n_bytes: int) -> None:
        if n_bytes > 0 and self.held_bytes + n_bytes > self.total_bytes:
            raise Busy(
                f"Others upload {self.held_bytes // 2**20} MB; all together may be {self.total_bytes // 2**20} MB "
                "(UPLOAD_BUDGET_MB). Try again soon.",
                RETRY_S,
            )

    def _refusal(self) -> LimitExceeded:
        return LimitExceeded(
            f"The request body is larger than {self.max_bytes} bytes (MAX_UPLOAD_MB). Send a shorter recording."
        )
