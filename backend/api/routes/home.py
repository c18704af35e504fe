"""`/` and `/docs`: the landing page and the API reference, which load nothing from other hosts."""

from __future__ import annotations

from html import escape
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from backend.api import home
from backend.api.dependencies import AppSettings

router = APIRouter(include_in_schema=False)

FOLDER = Path(home.__file__).parent
MEDIA_TYPES = {"home.css": "text/css", "home.js": "text/javascript", "docs.js": "text/javascript"}
# Scripts and styles come from files of this server only.
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
}


@router.get("/")
async def index(settings: AppSettings) -> HTMLResponse:
    """The landing page: status, links, and snippets for other programs."""
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    values = {"{page_port}": str(settings.gradio_port), "{repository}": settings.repository}
    for name, value in values.items():
        text = text.replace(name, escape(value))
    return HTMLResponse(text, headers=POLICY)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The API reference."""
    return HTMLResponse((FOLDER / "docs.html").read_text(encoding="utf-8"), headers=POLICY)


def _file(name: str) -> None:
    async def serve() -> Response:
        return Response((FOLDER / name).read_bytes(), media_type=MEDIA_TYPES[name], headers=POLICY)

    router.add_api_route(f"/{name}", serve, methods=["GET"], name=name)


for _name in MEDIA_TYPES:
    _file(_name)
