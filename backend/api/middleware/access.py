"""What is asked of a request before anything of its body is read: its host, its page, its key and its rate."""

from __future__ import annotations

import logging

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend.api import errors
from backend.api.middleware.api_keys import ApiKeys, sent_key
from backend.api.middleware.csrf import is_cross_origin
from backend.api.middleware.rate_limit import RateLimit
from backend.api.middleware.trusted_hosts import TrustedHosts
from backend.errors import Busy
from backend.settings import Settings

log = logging.getLogger(__name__)

# They tell that the server is up, and what can be asked of it.
OPEN_PATHS = ("/health", "/ready", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
UNCOUNTED_PATHS = ("/health", "/ready")
POLICY_VIOLATION = 1008


class AccessMiddleware:
    """Lets HTTP requests and WebSockets through to `app`, or answers them with why not."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._keys = ApiKeys(settings.api_key)
        self._hosts = TrustedHosts(settings.host, settings.allowed_hosts)
        self._pages = frozenset(settings.page_origins)
        self._rate = RateLimit(settings.rate_limit_per_min)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except (HTTPException, Busy) as error:
            await refuse(error, scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) > 1 or (hosts and not self._hosts.allows(hosts[0])):
            raise HTTPException(
                403,
                "The server does not go by the name in the Host header. Use its address, or add the name to ALLOWED_HOSTS.",
            )
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        if is_cross_origin(method, headers, self._pages):
            raise HTTPException(
                403, "A page of another address may not do this. Open the pages that come with the server."
            )
        path = scope["path"]
        key = self._keys.find(sent_key(headers)) if self._keys else None
        scope.setdefault("state", {})["key_name"] = None if key is None else key.name
        if path not in UNCOUNTED_PATHS:
            # Also before a wrong key is told so: keys cannot be tried faster than this.
            address = (scope.get("client") or (None,))[0]
            wait_s = self._rate.wait_s(None if key is None else key.name, address)
            if wait_s > 0:
                raise Busy("Too many requests of one caller (RATE_LIMIT_PER_MIN). Wait, then go on slower.", wait_s)
        if self._keys and key is None and path not in OPEN_PATHS:
            raise HTTPException(
                401,
                "No key or a wrong key; expected one of the server's API_KEY. Send it as `Authorization: Bearer KEY`.",
                headers={"WWW-Authenticate": "Bearer"},
            )


async def refuse(error: HTTPException | Busy, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or a WebSocket with an error."""
    # The error's own answer, as every route has it; a WebSocket's handshake is a GET.
    asked = Request(scope if scope["type"] == "http" else {**scope, "type": "http", "method": "GET"})
    tell = errors.answer if isinstance(error, Busy) else errors.answer_http
    answer: Response = await tell(asked, error)
    if scope["type"] == "http":
        await answer(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    await socket.receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(answer)
    else:
        await socket.close(POLICY_VIOLATION)
