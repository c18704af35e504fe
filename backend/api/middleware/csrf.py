"""Which web pages may drive the server from a visitor's browser."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_cross_origin(method: str, headers: Headers, pages: Container[str]) -> bool:
    """Whether a request that could change something comes from a page that is neither in `pages` nor the server's own.

    A browser sends forms to any address without asking it first, and opens a WebSocket to any, so a page of a stranger
    could otherwise speak, add voices or clear caches on a server that only listens on this machine.
    """
    origin = headers.get("origin")
    if origin is None or method in SAFE_METHODS or origin in pages:
        return False
    return urlsplit(origin).netloc != headers.get("host")
