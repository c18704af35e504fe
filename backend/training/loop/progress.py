"""Progress of a run: a progress bar on a terminal, otherwise one log line per minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)
LOG_EVERY_S = 60.0


class LineReporter:
    """Writes to the log at most once a minute."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def decoding(self, done: int, total: int) -> None:
        if self._is_due():
            logger.info("decoding %d of %d", done, total)

    def training(self, step: int, total: int, values: dict[str, Any]) -> None:
        if self._is_due():
            left_h = (total - step) / max(values["steps_per_s"], 1e-9) / 3600
            logger.info("step %d of %d, %.1f h left: %s", step, total, left_h, summary(values))

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if self._last_s and now_s - self._last_s < LOG_EVERY_S:
            return False
        self._last_s = now_s
        return True


class LiveReporter:
    """Shows a progress bar."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def decoding(self, done: int, total: int) -> None:
        self._progress.update(self._task, description="decoding", completed=done, total=total)

    def training(self, step: int, total: int, values: dict[str, Any]) -> None:
        self._progress.update(self._task, description=summary(values), completed=step, total=total)


@contextmanager
def reporter(stream: TextIO) -> Iterator[LineReporter | LiveReporter]:
    """Yields a reporter for the stream."""
    if not stream.isatty():
        yield LineReporter()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(file=stream)) as progress:
        yield LiveReporter(progress)


def summary(values: dict[str, Any]) -> str:
    """Formats the main values of a step."""
    parts = [
        f"{name} {values[name]:.3f}"
        for name in ("mel", "loudness", "complex", "adversarial", "d_right", "main", "residual", "advance")
        if name in values
    ]
    if "perplexity" in values:
        parts.append(f"perplexity {values['perplexity'][0]:.0f}...{values['perplexity'][-1]:.0f}")
    if "effective_dimension" in values:
        parts.append(f"dim {values['effective_dimension']:.1f}")
    if "epoch" in values:
        parts.append(f"epoch {values['epoch']:.2f}, {values['frames_per_cpu_s']:.0f} frames/CPU-s")
    parts.append(f"{values['steps_per_s']:.2f} steps/s")
    return ", ".join(parts)
