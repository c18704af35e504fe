"""Access checks before the body of a request is read: host, origin, API key and rate limit."""

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

# Health checks and documentation need no API key.
PUBLIC_PATHS = ("/health", "/ready", "/openapi.json", "/", "/docs", "/home.js", "/home.css", "/docs.js")
UNLIMITED_PATHS = ("/health", "/ready")
POLICY_VIOLATION = 1008


class AccessMiddleware:
    """Passes allowed HTTP requests and WebSockets to `app`, and rejects the others."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._keys = ApiKeys(settings.api_key)
        self._hosts = TrustedHosts(settings.host, settings.allowed_hosts)
        self._origins = frozenset(settings.browser_origins)
        self._rate = RateLimit(settings.rate_limit_per_min)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except (HTTPException, Busy) as error:
            await reject(error, scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) > 1 or (hosts and not self._hosts.allows(hosts[0])):
            raise HTTPException(
                403,
                "The Host header has a name this server does not accept. Use its address, or add the name to ALLOWED_HOSTS.",
            )
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        if is_cross_origin(method, headers, self._origins):
            raise HTTPException(
                403,
                "Cross-origin requests are not allowed. Open the pages that come with the server, or add this origin to "
                "ALLOWED_ORIGINS.",
            )
        path = scope["path"]
        key = self._keys.find(sent_key(headers)) if self._keys else None
        scope.setdefault("state", {})["key_name"] = None if key is None else key.name
        if path not in UNLIMITED_PATHS:
            # Before the key is rejected, so that the rate limit also applies to guessing keys.
            address = (scope.get("client") or (None,))[0]
            wait_s = self._rate.wait_s(None if key is None else key.name, address)
            if wait_s > 0:
                raise Busy("Too many requests from one client (RATE_LIMIT_PER_MIN). Wait, then send fewer.", wait_s)
        if self._keys and key is None and path not in PUBLIC_PATHS:
            raise HTTPException(
                401,
                "The API key is missing or wrong; expected a key from the server's API_KEY. "
                "Send it as `Authorization: Bearer KEY`.",
                headers={"WWW-Authenticate": "Bearer"},
            )


async def reject(error: HTTPException | Busy, scope: Scope, receive: Receive, send: Send) -> None:
    """Responds to a request or a WebSocket handshake with an error."""
    # The same response as from a route; a WebSocket handshake is a GET.
    request = Request(scope if scope["type"] == "http" else {**scope, "type": "http", "method": "GET"})
    handle = errors.handle_phonogram_error if isinstance(error, Busy) else errors.handle_http_error
    response: Response = await handle(request, error)
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    await socket.receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await socket.close(POLICY_VIOLATION)
