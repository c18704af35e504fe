"""Generated prompt columns, split into speech and stop column."""

from __future__ import annotations

import numpy as np


def split_stop(columns: np.ndarray, end_id: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Split generated columns [1 + C, n] into codes [C, T] and the codes [C] of the stop column, None without one."""
    stops = np.flatnonzero(columns[0] == end_id)
    if not len(stops):
        return columns[1:], None
    return columns[1:, : stops[0]], columns[1:, stops[0]]
