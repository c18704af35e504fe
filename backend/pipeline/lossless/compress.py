"""`.pgl` files of sound files on disk and back: one file or a folder of them, in place of the name only when whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backend.compression.lossless.levels import DEFAULT_LEVEL
from backend.compression.lossless.stream import LosslessReport, Progress, compress, decompress
from backend.errors import BadAudio, BadContainer
from backend.pipeline.lossless.whole_file import require_writable, whole_file

SUFFIX = ".pgl"
SOURCE_SUFFIXES = (".wav", ".wave", ".aif", ".aiff", ".aifc")


def compress_file(
    source: Path, target: Path, *, level: int = DEFAULT_LEVEL, is_verified: bool = True, n_workers: int | None = None,
    is_overwrite: bool = False, progress: Progress | None = None,
) -> LosslessReport:  # fmt: skip
    """Write the `.pgl` file of a WAV or AIFF file. `n_workers` is the number of cores if not given."""
    require_writable(target, source, is_overwrite)
    with opened(source) as file, whole_file(target) as output:
        return compress(
            file, output, level=level, is_verified=is_verified, n_workers=workers(n_workers), progress=progress
        )


def decompress_file(
    source: Path, target: Path, *, n_workers: int | None = None, is_overwrite: bool = False,
    progress: Progress | None = None,
) -> LosslessReport:  # fmt: skip
    """Write the sound file that a `.pgl` file was made of, byte for byte, or nothing at all."""
    require_writable(target, source, is_overwrite)
    with opened(source) as file, whole_file(target) as output:
        return decompress(file, output, n_workers=workers(n_workers), progress=progress)


def verify_file(source: Path, *, n_workers: int | None = None, progress: Progress | None = None) -> LosslessReport:
    """Decode a `.pgl` file without writing it. Raises `BadContainer` unless every checksum fits."""
    with opened(source) as file, open(os.devnull, "wb") as output:
        return decompress(file, output, n_workers=workers(n_workers), progress=progress)


def folder_pairs(source: Path, target: Path, *, is_compressing: bool) -> list[tuple[Path, Path]]:
    """Every sound file (or `.pgl` file) below `source` with its place below `target`; folders are made as needed.

    `song.wav` becomes `song.wav.pgl`, so that two files of one name stay apart.
    """
    suffixes = SOURCE_SUFFIXES if is_compressing else (SUFFIX,)
    found = sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in suffixes)
    if not found:
        kind = BadAudio if is_compressing else BadContainer
        raise kind(f"No file below '{source.name}' ends in {', '.join(suffixes)}. Name another folder.")
    pairs = []
    for path in found:
        place = target / path.relative_to(source)
        pairs.append((path, place.with_name(place.name + SUFFIX) if is_compressing else place.with_suffix("")))
    return pairs


@contextmanager
def opened(source: Path) -> Iterator[BinaryIO]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise BadAudio(f"'{source.name}' cannot be read ({error.strerror}). Name a sound file.") from error
    with file:
        yield file


def workers(wanted: int | None) -> int:
    return max(1, wanted or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
