"""Every request gets an id and a line in the log, and is counted with its status and time."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.metrics import ServerMetrics
from backend.monitor.log_format import REQUEST_ID

log = logging.getLogger(__name__)

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Asked every few seconds by whoever watches the server.
QUIET = ("/health", "/ready", "/metrics")


class RequestLogMiddleware:
    """Takes the caller's `X-Request-Id` if it is a sane one, else makes one; the answer carries it back."""

    def __init__(self, app: ASGIApp, measures: ServerMetrics) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if SANE_ID.fullmatch(sent) else secrets.token_hex(8)
        started_s = time.perf_counter()
        scope.setdefault("state", {}).update(request_id=request_id, arrived_s=started_s)
        token = REQUEST_ID.set(request_id)
        # A socket that was accepted answers with 101 and no response.
        status = 500 if scope["type"] == "http" else 101

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            elif message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        finally:
            # The template, never the path: a path would let strangers fill the registry with names.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope.get("method", "SOCKET") if route != "unmatched" else "any"
            took_s = time.perf_counter() - started_s
            self.measures.requests.labels(route, method, str(status)).inc()
            self.measures.request_s.labels(route).observe(took_s)
            fields = {"route": route, "method": method, "status": status, "duration_ms": round(took_s * 1000, 1)}
            level = logging.DEBUG if route in QUIET else logging.INFO
            log.log(level, "%s %s: %d in %.0f ms", method, route, status, took_s * 1000, extra={"fields": fields})
            REQUEST_ID.reset(token)
