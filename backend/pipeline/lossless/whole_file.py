"""Files that are complete or absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backend.atomic_file import atomic_path
from backend.errors import OutputError, write_error


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write and read that takes the name `target` only if the block ends well."""
    # Through a link the file it names is replaced, not the link.
    try:
        with atomic_path(target.resolve()) as partial, partial.open("xb+") as file:
            yield file
    except OSError as error:
        raise write_error(
            f"'{target.name}' cannot be written", error, "Check the folder and the free space."
        ) from error


def require_writable(target: Path, source: Path, is_overwrite: bool) -> None:
    """Raise `OutputError` unless `target` may be written; checked before the work, not after it."""
    try:
        is_taken, has_folder = target.exists(), target.parent.is_dir()
        is_unfit = is_taken and (not target.is_file() or (source.exists() and target.samefile(source)))
    except OSError as error:
        raise write_error(f"'{target.name}' cannot be written", error, "Choose another name.") from error
    if is_unfit:
        raise OutputError(f"'{target.name}' is the input itself or not a file. Choose another file name.")
    if is_taken and not is_overwrite:
        raise OutputError(f"'{target.name}' exists already. Choose another name, or pass --overwrite.")
    if not has_folder:
        raise OutputError(f"The folder of '{target.name}' does not exist. Create it first.")
