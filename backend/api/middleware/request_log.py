"""Request ids, request logging and request metrics."""

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

VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Monitoring polls these every few seconds, so they are logged at debug level.
DEBUG_PATHS = ("/health", "/ready", "/metrics")


class RequestLogMiddleware:
    """Uses a valid `X-Request-Id` of the client, else generates one, and returns it in the response."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if VALID_ID.fullmatch(sent) else secrets.token_hex(8)
        started_s = time.perf_counter()
        scope.setdefault("state", {}).update(request_id=request_id, arrived_s=started_s)
        token = REQUEST_ID.set(request_id)
        # An accepted WebSocket sends no response message; its status is 101.
        status = 500 if scope["type"] == "http" else 101

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            elif message["type"] == "websocket.accept":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            # The path template, never the path, which would let clients create unlimited label values.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope.get("method", "SOCKET") if route != "unmatched" else "any"
            duration_s = time.perf_counter() - started_s
            self.metrics.requests.labels(route, method, str(status)).inc()
            self.metrics.request_s.labels(route).observe(duration_s)
            fields = {"route": route, "method": method, "status": status, "duration_ms": round(duration_s * 1000, 1)}
            level = logging.DEBUG if route in DEBUG_PATHS else logging.INFO
            log.log(level, "%s %s: %d in %.0f ms", method, route, status, duration_s * 1000, extra={"fields": fields})
            REQUEST_ID.reset(token)
