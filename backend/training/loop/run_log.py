"""The log of a run: `log.jsonl`, one object per line, and TensorBoard.

Kinds of rows: "step" (means over a log interval), "event" (quantize, rollback, reseed, resume, phase, stop) and
"audition" (validation).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from backend.atomic_file import write_atomically

LOG_NAME = "log.jsonl"


def read_rows(run: Path) -> list[dict[str, Any]]:
    """Returns the rows of a run's log, oldest first; a truncated last line is left out."""
    path = run / LOG_NAME
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


class RunLog:
    """Appends to a run's log from `step` on; rows of later steps, from before an interruption, are dropped."""

    def __init__(self, run: Path, step: int):
        run.mkdir(parents=True, exist_ok=True)
        self.path = run / LOG_NAME
        kept = [row for row in read_rows(run) if row.get("step", 0) <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        row = {"kind": kind, "step": step, **{name: _plain(value) for name, value in values.items()}}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{kind}/{name}", value, step)
            elif isinstance(value, list | tuple):
                for i, item in enumerate(value):
                    self._board.add_scalar(f"{kind}/{name}/{i}", item, step)

    def sound(self, name: str, step: int, samples: torch.Tensor, rate_hz: int) -> None:
        """Adds samples [C, N] to TensorBoard as audio."""
        self._board.add_audio(name, samples.mean(dim=0).clamp(-1, 1), step, sample_rate=rate_hz)

    def close(self) -> None:
        self._board.close()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
