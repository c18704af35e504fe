"""CSRF protection: detects cross-origin requests from web pages."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_cross_origin(method: str, headers: Headers, allowed_origins: Container[str]) -> bool:
    """Whether an unsafe request comes from an origin that is neither allowed nor the server's own.

    Browsers send form posts and open WebSockets to any address without a CORS preflight. Without this check any web
    page could synthesize speech, add voices or clear caches on a server that listens on the loopback address only.
    """
    origin = headers.get("origin")
    if origin is None or method in SAFE_METHODS or origin in allowed_origins:
        return False
    return urlsplit(origin).netloc != headers.get("host")
