"""Cache of results, one small file per audio file and codec, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from backend.atomic_file import write_atomically
from backend.errors import OutputError

# Increment when results are computed differently, so that old entries are ignored.
VERSION = 1


class ResultCache:
    """A folder of results; None disables caching. Damaged entries are ignored."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"The cache '{folder.name}' cannot be created ({error.strerror}). Choose another with --cache."
                ) from error

    def read(self, sound_hash: str, system: str) -> dict[str, Any] | None:
        if self.folder is None:
            return None
        try:
            entry = json.loads(self._path(sound_hash, system).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) and isinstance(entry.get("scores"), dict) else None

    def write(self, sound_hash: str, system: str, entry: dict[str, Any]) -> None:
        if self.folder is None:
            return
        try:
            write_atomically(self._path(sound_hash, system), json.dumps(entry).encode())
        except OSError as error:
            raise OutputError(
                f"The cache cannot be written ({error.strerror}). Free disk space, or run without --cache."
            ) from error

    def _path(self, sound_hash: str, system: str) -> Path:
        assert self.folder is not None
        key = hashlib.sha256(f"{VERSION}\n{sound_hash}\n{system}".encode()).hexdigest()
        return self.folder / f"{key[:32]}.json"
