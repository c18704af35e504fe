"""Files that are complete or absent: written beside their target, then moved over it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_BYTES = 1 << 20


@contextmanager
def atomic_path(target: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path in the folder of `target`, and moves it there when the block ends without an error.

    On any error the temporary file is removed and `target` stays as it was. `is_durable` flushes the file to disk
    before it is moved, so a power failure leaves either version.
    """
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield partial
        if is_durable:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(target: Path, content: bytes, *, is_durable: bool = False) -> None:
    """Replaces the content of `target` as a whole."""
    with atomic_path(target, is_durable=is_durable) as partial:
        partial.write_bytes(content)


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes in hexadecimal, reading it in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
