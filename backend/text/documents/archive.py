"""Read zip archives in memory, with size limits that do not rely on the archive's own headers."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from backend.errors import BadDocument, LimitExceeded

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 64 * 2**20
ENTRY_MARK = b"PK\x01\x02"


class Archive:
    """Reads members by name without writing to disk. `max_bytes` limits the total size of all reads."""

    def __init__(self, content: bytes, max_bytes: int = MAX_UNPACKED_BYTES):
        # Checked before zipfile creates an object per entry: a small file can list millions.
        if content.count(ENTRY_MARK) > MAX_ENTRIES:
            raise LimitExceeded(f"The archive lists more than {MAX_ENTRIES} files. Send a plain EPUB.")
        self._left = self._max_bytes = max_bytes
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise BadDocument("The EPUB is damaged: it is not a readable zip archive. Export it again.") from error
        self.names = frozenset(self._zip.namelist())
        self._by_folded_name = {_folded(name): name for name in sorted(self.names)}

    def found(self, name: str) -> str:
        """Return the name of the file in the archive, also if letter case or separators differ; else `name` itself."""
        return name if name in self.names else self._by_folded_name.get(_folded(name), name)

    def read(self, name: str) -> bytes:
        """Read one file. Raises `BadDocument` if it is missing, damaged or encrypted, and `LimitExceeded`."""
        if name not in self.names:
            raise BadDocument(f"The EPUB refers to a missing file '{name[:80]}'. Export it again.")
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise BadDocument("The EPUB is encrypted (DRM), so its text cannot be read. Use one without DRM.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadDocument(f"'{name[:80]}' uses a compression that EPUB does not allow. Export it again.")
        try:
            with self._zip.open(info) as file:
                content = file.read(self._left + 1)
        except (
            zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, NotImplementedError, OSError
        ) as error:  # fmt: skip
            raise BadDocument(f"'{name[:80]}' in the EPUB is damaged or encrypted. Export it again.") from error
        if len(content) > self._left:
            raise LimitExceeded(f"The EPUB unpacks to more than {self._max_bytes} bytes of text. Send a smaller book.")
        self._left -= len(content)
        return content


def _folded(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").removeprefix("/").casefold()
