"""Where in its text a speaker is: a pointer over phonemes that only moves forward, so nothing is skipped or said twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

ADVANCE = "advance"  # the auxiliary head that says by how many phonemes to move after a frame
# A phoneme held this many frames is left, whatever the model says.
LONGEST_STAY_FRAMES = 100


class Pointer:
    """A place in `symbols` [P] (phoneme ids).

    The side ids of the next frame are the phoneme under the pointer, the ones after it (0 past the end), and, last,
    the frames already spent on it, at most `max_spent`: the size of the model's last side table less one.
    """

    def __init__(
        self, symbols: np.ndarray | Sequence[int], n_side: int, max_spent: int = 31,
        longest_stay_frames: int = LONGEST_STAY_FRAMES,
    ):  # fmt: skip
        self.symbols = np.asarray(symbols, dtype=np.int64).reshape(-1)
        if n_side < 2:
            raise ValueError(f"n_side is {n_side}; a pointer needs one phoneme and the frames spent on it")
        self.n_side, self.max_spent, self.longest_stay_frames = n_side, max_spent, longest_stay_frames
        self.position = 0
        self.n_spent = 0
        self.path: list[int] = []  # the place each frame so far was drawn at

    @property
    def is_finished(self) -> bool:
        return self.position >= len(self.symbols)

    def side(self) -> np.ndarray:
        """The side ids [n_side] the next frame is drawn with."""
        ids = np.zeros(self.n_side, dtype=np.int64)
        ahead = self.symbols[self.position : self.position + self.n_side - 1]
        ids[: len(ahead)] = ahead
        ids[-1] = min(self.n_spent, self.max_spent)
        return ids

    def advance(self, n_phonemes: int) -> None:
        """Count one frame, then move."""
        self.path.append(self.position)
        self.n_spent += 1
        if n_phonemes == 0 and self.n_spent >= self.longest_stay_frames:
            n_phonemes = 1
        if n_phonemes:
            self.position = min(self.position + n_phonemes, len(self.symbols))
            self.n_spent = 0

    def restarted(self) -> Pointer:
        """The same text from its start."""
        return Pointer(self.symbols, self.n_side, self.max_spent, self.longest_stay_frames)


def side_ids(pointers: Sequence[Pointer | None], device: torch.device | str = "cpu") -> Tensor | None:
    """Side ids [B, n_side] of the next frames of rows with pointers; None if there are none."""
    if not pointers or any(pointer is None for pointer in pointers):
        return None
    return torch.from_numpy(np.stack([pointer.side() for pointer in pointers if pointer is not None])).to(device)
