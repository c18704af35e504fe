"""The backend under the page's own address, so that a browser needs neither a second origin nor the key."""

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
# First parts of the paths that the page asks for; everything else of the backend stays behind it.
OPEN_PARTS = frozenset({
    "tts", "voices", "emotions", "health", "ready", "metrics", "requests", "cache", "codec", "jobs", "openapi.json",
})  # fmt: skip
MAX_BODY_BYTES = 256 * 2**20
# Headers that belong to one connection, and those the relay sets itself.
NOT_PASSED = frozenset({
    "connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "authorization", "cookie",
    "origin", "referer", "accept-encoding", "content-length",
})  # fmt: skip
CLIENT_GONE = 499


class Relay:
    """Passes requests of the page on to the backend at `url`, with the key, and answers with what comes back."""

    def __init__(self, url: str, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=SPEECH_TIMEOUT, trust_env=False)
        self._url = url

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __call__(self, request: Request) -> Response:
        """Pass one request on. Sound goes through as it comes; a body that breaks off there breaks off here."""
        path: str = request.path_params["path"]
        refusal = _refusal(request, path)
        if refusal is not None:
            return refusal
        body = await _body(request)
        if body is None:
            return _error(413, "TooLarge", f"The request is larger than {MAX_BODY_BYTES} bytes. Send less.")
        url = httpx.URL(f"/{quote(path)}", query=request.url.query.encode())
        headers = {name: value for name, value in request.headers.items() if name not in NOT_PASSED}
        headers["accept-encoding"] = "identity"
        asked = self._http.build_request(request.method, url, headers=headers, content=body)
        try:
            answer = await _unless_left(request, self._http.send(asked, stream=True))
        except httpx.TimeoutException:
            return _error(504, "Timeout", f"{self._url} did not answer in time. It may be busy; try again.")
        except httpx.HTTPError as error:
            reason = f"No answer from {self._url} ({type(error).__name__}). {labels.HOW_TO_START}"
            return _error(502, "Unreachable", reason)
        return Response(status_code=CLIENT_GONE) if answer is None else RelayedAnswer(answer)


class RelayedAnswer(StreamingResponse):
    """An answer passed on piece by piece; when the visitor leaves, the backend is told by closing its connection."""

    def __init__(self, answer: httpx.Response) -> None:
        # A length is true here too: nothing is unpacked on the way.
        passed = {name: value for name, value in answer.headers.items() if name not in NOT_PASSED}
        if "content-length" in answer.headers:
            passed["content-length"] = answer.headers["content-length"]
        super().__init__(_pieces(answer), answer.status_code, passed)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._answer.aclose()


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    async for piece in answer.aiter_raw():
        yield piece


async def _body(request: Request) -> bytes | None:
    """The whole body, or None if it is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _unless_left(request: Request, answering: object) -> httpx.Response | None:
    """The answer, or None if the visitor left before it came; the question is then withdrawn."""
    answer: asyncio.Task[httpx.Response] = asyncio.ensure_future(answering)  # type: ignore[call-overload]
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await answer if answer.done() else None
    finally:
        leaving.cancel()
        answer.cancel()


def _refusal(request: Request, path: str) -> Response | None:
    parts = path.split("/")
    if parts[0] not in OPEN_PARTS or ".." in parts or "." in parts:
        return _error(404, "NotFound", f"The page passes no '{parts[0]}' on.")
    origin = request.headers.get("origin")
    # A browser sends forms to any address: a page of a stranger must not drive this one.
    if request.method != "GET" and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return _error(403, "ForeignPage", "A page of another address may not do this. Open this page itself.")
    return None


def _error(status: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status)
