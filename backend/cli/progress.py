"""Progress bars on standard error, shown on a terminal only, and atomic output of text files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.atomic_file import write_atomically
from backend.errors import OutputError


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yields a callback for (done, total), or None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def activity(label: str) -> Iterator[Callable[[str], None]]:
    """Yields a callback for the description of work of unknown length."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda text: bar.update(task, description=text)


def require_folder(target: Path | None) -> None:
    """Raises `OutputError` if the folder of an output file does not exist."""
    if target is not None and (not target.parent.is_dir() or target.is_dir()):
        raise OutputError(
            f"'{target.name}' cannot be written: its folder does not exist, or it is a folder itself. Check the path."
        )


def write_whole(target: Path, text: str) -> None:
    """Writes a text file atomically."""
    try:
        write_atomically(target, text.encode())
    except OSError as error:
        raise OutputError(f"'{target.name}' cannot be written ({error.strerror}). Check the free space.") from error


@contextmanager
def step_bar() -> Iterator[Callable[[int, int, str], None] | None]:
    """Yields a callback for (done, total, description), or None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)
