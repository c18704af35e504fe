"""Ring buffer of recent rows on their device, for statistics of codes and latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class RingBuffer:
    """A ring of the last `size` rows [size, W]; W and dtype are those of the first rows pushed."""

    def __init__(self, size: int):
        self.size = size
        self._ring: Tensor | None = None
        self._n_pushed = 0

    def push(self, rows: Tensor) -> None:
        rows = rows.detach()[-self.size :]
        if self._ring is None:
            self._ring = torch.zeros(self.size, rows.shape[1], dtype=rows.dtype, device=rows.device)
        first = self._n_pushed % self.size
        n_head = min(rows.shape[0], self.size - first)
        self._ring[first : first + n_head] = rows[:n_head]
        self._ring[: rows.shape[0] - n_head] = rows[n_head:]
        self._n_pushed += rows.shape[0]

    def rows(self) -> Tensor | None:
        """Returns the stored rows in no particular order; None before the first."""
        return None if self._ring is None else self._ring[: min(self._n_pushed, self.size)]

    def clear(self) -> None:
        self._ring, self._n_pushed = None, 0

    def state(self) -> dict[str, Any]:
        return {"n_pushed": self._n_pushed} | ({} if self._ring is None else {"ring": self._ring})

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self._n_pushed = state["n_pushed"]
        self._ring = state["ring"].to(device) if "ring" in state else None
