"""Bars on standard error while work goes on; nothing unless a person is watching."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import OutputError


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yields what to call with the amounts done and in all, or None if nobody watches."""
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
    """Yields what to call with a few words on how far work of unknown length has come."""
    if not sys.stderr.isatty():
        yield lambda words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda words: bar.update(task, description=words)


def require_folder(target: Path | None) -> None:
    """Raise `OutputError` before the work if a result could not be written after it."""
    if target is not None and (not target.parent.is_dir() or target.is_dir()):
        raise OutputError(
            f"'{target.name}' cannot be written: its folder does not exist, or it is one. Check the path."
        )


def write_whole(target: Path, text: str) -> None:
    """Write a text file that is complete or not there."""
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"'{target.name}' cannot be written ({error.strerror}). Check the free space.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def step_bar() -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar with the time left on standard error; nothing unless a person is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
