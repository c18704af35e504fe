"""Size limits for request bodies, per request and in total, enforced while they are read."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import Busy, LimitExceeded

# Small requests are never rejected because of other uploads.
FREE_BYTES = 64 * 2**10
RETRY_S = 2.0


class BodyLimitMiddleware:
    """Stops reading a body once it exceeds `max_bytes`, whatever its Content-Length says.

    Received bytes of all bodies count until their requests end. A request that would exceed `total_bytes` gets a 429.
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
        content_length = Headers(scope=scope).get("content-length", "")
        n_announced = int(content_length[:20]) if content_length.isdecimal() else 0

        async def receive_limited() -> Message:
            nonlocal n_read, n_held
            if n_announced > self.max_bytes:
                raise self._too_large()
            if n_read == 0:
                # Announced bytes are not reserved, but a body that cannot fit now is not read.
                self._check_budget(n_announced - FREE_BYTES)
            message = await receive()
            if message["type"] == "http.request":
                n_read += len(message.get("body", b""))
                if n_read > self.max_bytes:
                    raise self._too_large()
                n_more = max(0, n_read - FREE_BYTES) - n_held
                self._check_budget(n_more)
                self.held_bytes += n_more
                n_held += n_more
            return message

        try:
            await self.app(scope, receive_limited, send)
        finally:
            self.held_bytes -= n_held

    def _check_budget(self, n_bytes: int) -> None:
        if n_bytes > 0 and self.held_bytes + n_bytes > self.total_bytes:
            raise Busy(
                f"Other uploads hold {self.held_bytes // 2**20} MB; the limit for all is {self.total_bytes // 2**20} MB "
                "(UPLOAD_BUDGET_MB). Try again soon.",
                RETRY_S,
            )

    def _too_large(self) -> LimitExceeded:
        return LimitExceeded(
            f"The request body exceeds {self.max_bytes} bytes (MAX_UPLOAD_MB). Send a shorter recording."
        )
