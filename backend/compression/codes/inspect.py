"""Content and size of a whole code file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backend.compression.codes.container import ContainerReader
from backend.compression.codes.header import ContainerHeader
from backend.errors import BadContainer


@dataclass(frozen=True, slots=True)
class ContainerSurvey:
    """The header with its counts, and the sizes of the file and of its packed codes."""

    header: ContainerHeader
    n_samples: int
    n_frames: int
    file_bytes: int
    payload_bytes: int

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.header.sample_rate_hz

    @property
    def file_kbps(self) -> float:
        """Bitrate of the whole file in kbps; 0 for a file without audio."""
        return self._kbps(self.file_bytes)

    @property
    def payload_kbps(self) -> float:
        return self._kbps(self.payload_bytes)

    def _kbps(self, size_bytes: int) -> float:
        return size_bytes * 8 / 1000 / self.duration_s if self.n_samples else 0.0


def survey_container(file: BinaryIO) -> ContainerSurvey:
    """Reads and checks a whole code file. Raises `BadContainer` for any damage."""
    reader = ContainerReader(file)
    for _ in reader:
        pass
    header = reader.header
    assert header.n_samples is not None and header.n_frames is not None, header
    return ContainerSurvey(header, header.n_samples, header.n_frames, reader.file_bytes, reader.payload_bytes)


def survey_file(source: Path) -> ContainerSurvey:
    """Reads and checks a code file on disk. Raises `BadContainer` for any damage."""
    with open_container(source) as file:
        return survey_container(file)


@contextmanager
def open_container(source: Path) -> Iterator[BinaryIO]:
    try:
        if not source.is_file():
            raise BadContainer(f"'{source.name}' is not a file; expected a .pgc file. Check the path.")
        file = source.open("rb")
    except OSError as error:
        raise BadContainer(f"'{source.name}' cannot be opened ({error.strerror}). Check its permissions.") from error
    with file:
        yield file
