"""Static files of the Gradio page, compressed once and served from memory; a first visit requests about a hundred."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# File names that contain a content hash never change their content.
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
MIN_COMPRESSED_BYTES = 512
COMPRESSED_TYPES = ("text/", "application/json", "image/svg")
# Types that browsers require, whatever the system's MIME table says.
TYPES = {".js": "text/javascript", ".css": "text/css", ".mjs": "text/javascript"}


class StaticFile(NamedTuple):
    """A file with its media type and ETag; `compressed` is its gzip form, or None where that does not help."""

    media_type: str
    etag: str
    content: bytes
    compressed: bytes | None


class CachedStaticFiles:
    """Serves the files of a folder that existed at start; names are looked up, never joined to a path."""

    def __init__(self, folder: Path, has_hashed_names: bool) -> None:
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._cache_control = IMMUTABLE if has_hashed_names else REVALIDATE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        await self.respond(name, scope["method"], Headers(scope=scope))(scope, receive, send)

    def respond(self, name: str, method: str, request_headers: Headers) -> Response:
        """Return the file `name`, compressed if the client accepts gzip; 304 if its ETag matches."""
        path = self._paths.get(name)
        if path is None or method not in ("GET", "HEAD"):
            return Response("No such file.", 404 if path is None else 405)
        file = load_file(path, path.stat().st_mtime_ns)
        headers = {"cache-control": self._cache_control, "etag": file.etag, "vary": "Accept-Encoding"}
        if request_headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        if file.compressed is not None and "gzip" in request_headers.get("accept-encoding", ""):
            return Response(file.compressed, 200, headers | {"content-encoding": "gzip"}, file.media_type)
        return Response(file.content, 200, headers, file.media_type)


@lru_cache(maxsize=1024)
def load_file(path: Path, changed_ns: int) -> StaticFile:
    """Return the file; it is read and compressed again only when it has changed."""
    content = path.read_bytes()
    media_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = (
        gzip.compress(content, 6)
        if len(content) >= MIN_COMPRESSED_BYTES and media_type.startswith(COMPRESSED_TYPES)
        else None
    )
    return StaticFile(media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"', content, compressed)
