"""Every request gets an id, and is counted with its status and time."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.measures import Measures

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Traffic:
    """Takes the caller's `X-Request-Id` if it is a sane one, else makes one; the answer carries it back."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if SANE_ID.fullmatch(sent) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started_s = time.perf_counter()
        status = 500

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        finally:
            # The template, never the path: a path would let strangers fill the registry with names.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if route != "unmatched" else "any"
            self.measures.requests.labels(route, method, str(status)).inc()
            self.measures.request_s.labels(route).observe(time.perf_counter() - started_s)
