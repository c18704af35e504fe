"""Rejects WebSocket handshakes at unknown paths with 404."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket


def install(app: FastAPI) -> None:
    """Makes `app` respond with 404 and a message instead of the framework's empty 403, which reads as a wrong key."""
    not_found = app.router.default

    async def default(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or "websocket.http.response" not in scope.get("extensions", {}):
            await not_found(scope, receive, send)
            return
        message = f"There is no WebSocket at {scope['path'][:80]}. docs/api.md lists the WebSockets."
        response = JSONResponse({"error": "NotFound", "message": message}, 404)
        await WebSocket(scope, receive, send).send_denial_response(response)

    app.router.default = default
