"""What every answer tells a browser: take it as what it says it is, show it in no frame, keep no copy."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": "default-src 'none'; media-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
# The page of the interface loads its script from elsewhere.
PAGES = ("/docs", "/redoc")


class SecurityHeadersMiddleware:
    """Adds the headers that an answer does not bring itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if name != "Content-Security-Policy" or not scope["path"].startswith(PAGES):
                        headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, shielded if scope["type"] == "http" else send)
