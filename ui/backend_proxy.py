"""Reverse proxy to the backend under the page's origin, so that browsers need neither CORS nor the API key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ui import labels
from ui.client import SPEECH_TIMEOUT

METHODS = ["GET", "POST", "PATCH", "DELETE"]
# First path segments that the page uses; all other paths of the backend are blocked.
ALLOWED_SEGMENTS = frozenset({
    "tts", "voices", "emotions", "health", "ready", "metrics", "requests", "cache", "codec", "jobs", "audio", "openapi.json",
})  # fmt: skip
MAX_BODY_BYTES = 256 * 2**20
# Hop-by-hop headers, and those the proxy sets itself.
DROPPED_HEADERS = frozenset({
    "connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "authorization", "cookie",
    "origin", "referer", "accept-encoding", "content-length",
})  # fmt: skip
CLIENT_CLOSED_REQUEST = 499


class BackendProxy:
    """Forwards the page's requests to the backend at `url`, adds the API key, and streams the responses back."""

    def __init__(self, url: str, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=SPEECH_TIMEOUT, trust_env=False)
        self._url = url

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __call__(self, request: Request) -> Response:
        """Forward one request. The response is streamed; if the backend aborts it, it is aborted here too."""
        path: str = request.path_params["path"]
        rejection = _rejection(request, path)
        if rejection is not None:
            return rejection
        body = await _body(request)
        if body is None:
            return _error(413, "TooLarge", f"The request is larger than {MAX_BODY_BYTES} bytes. Send less.")
        url = httpx.URL(f"/{quote(path)}", query=request.url.query.encode())
        headers = {name: value for name, value in request.headers.items() if name not in DROPPED_HEADERS}
        headers["accept-encoding"] = "identity"
        forwarded = self._http.build_request(request.method, url, headers=headers, content=body)
        try:
            response = await _until_disconnect(request, self._http.send(forwarded, stream=True))
        except httpx.TimeoutException:
            return _error(504, "Timeout", f"{self._url} did not respond in time. It may be busy; try again.")
        except httpx.HTTPError as error:
            reason = f"No response from {self._url} ({type(error).__name__}). {labels.HOW_TO_START}"
            return _error(502, "Unreachable", reason)
        return Response(status_code=CLIENT_CLOSED_REQUEST) if response is None else ProxiedResponse(response)


class ProxiedResponse(StreamingResponse):
    """Streams a response of the backend; when the client disconnects, the connection to the backend is closed."""

    def __init__(self, response: httpx.Response) -> None:
        # The length stays valid: the body is not decompressed on the way.
        headers = {name: value for name, value in response.headers.items() if name not in DROPPED_HEADERS}
        if "content-length" in response.headers:
            headers["content-length"] = response.headers["content-length"]
        super().__init__(_chunks(response), response.status_code, headers)
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._response.aclose()


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    async for chunk in response.aiter_raw():
        yield chunk


async def _body(request: Request) -> bytes | None:
    """Return the complete body, or None if it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _until_disconnect(request: Request, sending: object) -> httpx.Response | None:
    """Return the response, or None if the client disconnected first; the request is then cancelled."""
    response: asyncio.Task[httpx.Response] = asyncio.ensure_future(sending)  # type: ignore[call-overload]
    disconnect = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({response, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        return await response if response.done() else None
    finally:
        disconnect.cancel()
        response.cancel()


def _rejection(request: Request, path: str) -> Response | None:
    parts = path.split("/")
    if parts[0] not in ALLOWED_SEGMENTS or ".." in parts or "." in parts:
        return _error(
            404, "NotFound", f"The page does not forward '{parts[0]}'. Send the request to the backend itself."
        )
    origin = request.headers.get("origin")
    # Browsers submit forms to any origin: reject requests from foreign pages (CSRF).
    if request.method != "GET" and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return _error(403, "ForeignPage", "Requests from pages of another origin are rejected. Open this page itself.")
    return None


def _error(status: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status)
