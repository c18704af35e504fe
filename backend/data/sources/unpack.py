"""Unpacks downloaded archives: ZIP, split ZIP and gzipped TAR, without leaving the target folder."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from backend.atomic_file import atomic_path
from backend.data.sources.split_zip import SplitZip
from backend.errors import BadContainer

COPY_BYTES = 1 << 20
Progress = Callable[[int, int], None]


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> int:
    """Unpacks `archive` into `folder` and returns how many files it held. Files that are there in full are kept.

    Of a split ZIP give the last part (`NAME.zip`); the others (`NAME.z01` ...) are found beside it. Raises
    `BadContainer` for a damaged archive and for names that lead out of the folder.
    """
    try:
        if archive.suffix == ".zip" and archive.with_suffix(".z01").is_file():
            return _unpack_split(archive, folder, progress)
        if archive.suffix == ".zip":
            return _unpack_zip(archive, folder, progress)
        return _unpack_tar(archive, folder, progress)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadContainer(
            f"'{archive.name}' cannot be unpacked ({error}). Delete it and download it again."
        ) from error


def safe_target(folder: Path, name: str) -> Path:
    """Returns where the member `name` of an archive goes. Raises `BadContainer` if that is outside of `folder`."""
    target = Path(os.path.normpath(folder / name.replace("\\", "/")))
    if not target.is_relative_to(folder) or target == folder:
        raise BadContainer(f"The archive has a member named '{name}', which leads out of its folder. Do not use it.")
    return target


def _unpack_zip(archive: Path, folder: Path, progress: Progress | None) -> int:
    with zipfile.ZipFile(archive) as content:
        members = [
            info for info in content.infolist() if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        ]
        for done, info in enumerate(members):
            target = safe_target(folder, info.filename)
            if not _is_complete(target, info.file_size):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as partial, content.open(info) as member, partial.open("wb") as output:
                    while piece := member.read(COPY_BYTES):
                        output.write(piece)
            if progress is not None:
                progress(done + 1, len(members))
    return len(members)


def _unpack_split(archive: Path, folder: Path, progress: Progress | None) -> int:
    with SplitZip(archive) as content:
        for done, member in enumerate(content.members):
            target = safe_target(folder, member.name)
            if not _is_complete(target, member.size_bytes):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as partial, partial.open("wb") as output:
                    for piece in content.read(member):
                        output.write(piece)
            if progress is not None:
                progress(done + 1, len(content.members))
        return len(content.members)


def _unpack_tar(archive: Path, folder: Path, progress: Progress | None) -> int:
    n_files, size = 0, archive.stat().st_size
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as content:
        for member in content:
            if not member.isfile():
                continue
            target = safe_target(folder, member.name)
            source = content.extractfile(member)
            if source is not None and not _is_complete(target, member.size):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as partial, partial.open("wb") as output:
                    while piece := source.read(COPY_BYTES):
                        output.write(piece)
            n_files += 1
            if progress is not None:
                progress(file.tell(), size)
    return n_files


def _is_complete(target: Path, size_bytes: int) -> bool:
    return target.is_file() and target.stat().st_size == size_bytes
