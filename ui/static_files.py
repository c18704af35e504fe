"""The files of the Gradio page, packed once and sent from memory: a first visit asks for a hundred of them."""

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

# Names that hold a hash of their content never mean another content.
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
MIN_PACKED_BYTES = 512
PACKED_TYPES = ("text/", "application/json", "image/svg")
# What browsers insist on, whatever the machine's own table says.
TYPES = {".js": "text/javascript", ".css": "text/css", ".mjs": "text/javascript"}


class PackedFile(NamedTuple):
    """A file as it is sent: `packed` is its gzip form, or None where that does not help."""

    kind: str
    tag: str
    plain: bytes
    packed: bytes | None


class PageFiles:
    """Sends the files of a folder, and nothing else: a name is looked up among those that were there at the start."""

    def __init__(self, folder: Path, has_hashed_names: bool) -> None:
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._caching = FOREVER if has_hashed_names else ASK_AGAIN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        await self.answer(name, scope["method"], Headers(scope=scope))(scope, receive, send)

    def answer(self, name: str, method: str, asked: Headers) -> Response:
        """The file called `name`, packed if the browser takes that; 304 if it has this very one."""
        path = self._paths.get(name)
        if path is None or method not in ("GET", "HEAD"):
            return Response("No such file.", 404 if path is None else 405)
        file = packed_file(path, path.stat().st_mtime_ns)
        headers = {"cache-control": self._caching, "etag": file.tag, "vary": "Accept-Encoding"}
        if asked.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        if file.packed is not None and "gzip" in asked.get("accept-encoding", ""):
            return Response(file.packed, 200, headers | {"content-encoding": "gzip"}, file.kind)
        return Response(file.plain, 200, headers, file.kind)


@lru_cache(maxsize=1024)
def packed_file(path: Path, changed_ns: int) -> PackedFile:
    """The file as it is sent; read and packed again only when it has changed."""
    plain = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(plain, 6) if len(plain) >= MIN_PACKED_BYTES and kind.startswith(PACKED_TYPES) else None
    return PackedFile(kind, f'"{hashlib.sha256(plain).hexdigest()[:20]}"', plain, packed)
