"""FLAC files of takes on disk, named by a content key and written atomically."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from backend.atomic_file import write_atomically
from backend.audio.files import read_audio
from backend.audio.waveform import Waveform
from backend.errors import BadAudio, StorageFull

KEY = re.compile(r"[0-9a-f]{32,64}")
SUFFIX = ".flac"
MAX_SOUND_S = 3600.0
# Disk space kept free for the system and other programs.
RESERVE_BYTES = 64 * 2**20


class SoundFiles:
    """FLAC files in one folder. FLAC stores a checksum of the samples, so damage is detected when reading."""

    def __init__(self, folder: Path, reserve_bytes: int = RESERVE_BYTES):
        self._folder, self.reserve_bytes = folder, reserve_bytes

    def path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise BadAudio("There is no such audio file. List the takes of the sentence.")
        return self._folder / key[:2] / f"{key}{SUFFIX}"

    def has(self, key: str) -> bool:
        return self.path(key).is_file()

    def write(self, key: str, content: bytes) -> None:
        """Write a FLAC file. Raises `StorageFull`, and then leaves no partial file."""
        path = self.path(key)
        require_room(self._folder, len(content) + self.reserve_bytes)
        write_whole(path, content)

    def read(self, key: str) -> Waveform:
        """Read a take's audio. Raises `BadAudio` if it is missing or damaged."""
        return read_audio(self.path(key), max_duration_s=MAX_SOUND_S)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> int:
        """Delete files that do not belong to a known key, such as those of a killed process; return their number."""
        unknown = [path for path in self._files() if path.suffix != SUFFIX or path.stem not in known]
        for path in unknown:
            path.unlink(missing_ok=True)
        return len(unknown)

    def _files(self) -> Iterator[Path]:
        return (path for path in self._folder.glob("*/*") if path.is_file())


def require_room(folder: Path, n_bytes: int) -> None:
    """Raise `StorageFull` unless the disk has `n_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise StorageFull(
            f"The disk has {free // 2**20} MB free; {-(-n_bytes // 2**20)} MB are needed. Free some space, then resume."
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises `StorageFull`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, is_durable=True)
    except OSError as error:
        raise StorageFull(
            f"The audio cannot be written ({error.strerror}). Free some disk space, then resume."
        ) from error
