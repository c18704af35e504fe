"""Files inside a zip, read from memory under limits that hold whatever the archive says of itself."""

from __future__ import annotations

import io
import zipfile
import zlib

from backend.errors import BadDocument, LimitExceeded

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 64 * 2**20
ENTRY_MARK = b"PK\x01\x02"


class Archive:
    """Reads members by name; nothing is ever written to disk. `max_bytes` bounds all that is read together."""

    def __init__(self, content: bytes, max_bytes: int = MAX_UNPACKED_BYTES):
        # Before the library makes an object of each: a small file can list millions.
        if content.count(ENTRY_MARK) > MAX_ENTRIES:
            raise LimitExceeded(f"The archive lists more than {MAX_ENTRIES} files. Send a plain EPUB.")
        self._left = self._max_bytes = max_bytes
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise BadDocument("The EPUB is damaged: it is no readable zip archive. Export it again.") from error
        self.names = frozenset(self._zip.namelist())

    def read(self, name: str) -> bytes:
        """The content of one file. Raises `BadDocument` if it is missing, damaged or locked, `LimitExceeded`."""
        if name not in self.names:
            raise BadDocument(f"The EPUB has no file '{name[:80]}' though it names one. Export it again.")
        info = self._zip.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadDocument(f"'{name[:80]}' is compressed in a way EPUB does not allow. Export it again.")
        try:
            with self._zip.open(info) as file:
                content = file.read(self._left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
            raise BadDocument(f"'{name[:80]}' in the EPUB is damaged or locked. Export it again.") from error
        if len(content) > self._left:
            raise LimitExceeded(f"The EPUB unpacks to more than {self._max_bytes} bytes of text. Send a smaller book.")
        self._left -= len(content)
        return content
