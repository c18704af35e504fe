"""Which turns of a conversation a prompt still holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.layout import Room


def newest_that_fit(past: Sequence[np.ndarray], room: Room, n_history: int | None = None) -> list[int]:
    """The newest turns that fit the room, and at most `n_history` columns of them unless it is None.

    Without a voice in the head the first turn comes before all others: it is what the voice is taken from.
    """
    left = room.n_limit - room.n_head - room.n_new
    kept: list[int] = []
    if past and not room.has_voice and past[0].shape[1] <= left:
        kept.append(0)
        left -= past[0].shape[1]
    if n_history is not None:
        left = min(left, n_history)
    for index in range(len(past) - 1, -1 + len(kept), -1):
        left -= past[index].shape[1]
        if left < 0:
            break
        kept.append(index)
    return sorted(kept)
