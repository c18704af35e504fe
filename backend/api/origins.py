"""Which web pages may drive the server from a visitor's browser."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException, Request

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


async def refuse_foreign_pages(request: Request) -> None:
    """Let a request pass that changes nothing, comes from no page, from a page of ours or from the server's own.

    A browser sends forms to any address without asking it first, so a page of a stranger could otherwise speak,
    add voices or clear caches on a server that only listens on this machine.
    """
    origin = request.headers.get("origin")
    if origin is None or request.method in SAFE_METHODS or origin in request.app.state.settings.page_origins:
        return
    if urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise HTTPException(403, "A page of another address may not do this. Open the pages that come with the server.")
