"""Text pointer: a position in the phonemes that only moves forward, so no phoneme is skipped or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.errors import BadSettings
from backend.lm.spec import Prompt

ADVANCE = "advance"  # auxiliary head: phonemes to move after a frame
# The pointer leaves a phoneme after this many frames, whatever the model predicts.
LONGEST_STAY_FRAMES = 100


class Pointer:
    """A position in `symbols` [P] (phoneme ids).

    The side ids of the next frame are the phoneme at the pointer, the phonemes after it (0 past the end) and, last, the
    frames already spent on it, at most `max_spent` (the size of the model's last side table minus one).
    """

    def __init__(
        self, symbols: np.ndarray | Sequence[int], n_side: int, max_spent: int = 31,
        longest_stay_frames: int = LONGEST_STAY_FRAMES,
    ):  # fmt: skip
        self.symbols = np.asarray(symbols, dtype=np.int64).reshape(-1)
        if n_side < 2:
            raise ValueError(f"n_side is {n_side}; a pointer needs at least 2: one phoneme and the frames spent on it")
        self.n_side, self.max_spent, self.longest_stay_frames = n_side, max_spent, longest_stay_frames
        self.position = 0
        self.n_spent = 0
        self.path: list[int] = []  # the position at each frame so far

    @property
    def is_finished(self) -> bool:
        return self.position >= len(self.symbols)

    def side(self) -> np.ndarray:
        """Returns the side ids [n_side] for the next frame."""
        ids = np.zeros(self.n_side, dtype=np.int64)
        ahead = self.symbols[self.position : self.position + self.n_side - 1]
        ids[: len(ahead)] = ahead
        ids[-1] = min(self.n_spent, self.max_spent)
        return ids

    def advance(self, n_phonemes: int) -> None:
        """Counts one frame, then moves by `n_phonemes`."""
        self.path.append(self.position)
        self.n_spent += 1
        if n_phonemes == 0 and self.n_spent >= self.longest_stay_frames:
            n_phonemes = 1
        if n_phonemes:
            self.position = min(self.position + n_phonemes, len(self.symbols))
            self.n_spent = 0

    def restart(self) -> Pointer:
        """Returns a pointer at the start of the same text."""
        return Pointer(self.symbols, self.n_side, self.max_spent, self.longest_stay_frames)


def side_ids(pointers: Sequence[Pointer | None], device: torch.device | str = "cpu") -> Tensor | None:
    """Returns side ids [B, n_side] of the next frames of rows with pointers; None if a row has none."""
    if not pointers or any(pointer is None for pointer in pointers):
        return None
    return torch.from_numpy(np.stack([pointer.side() for pointer in pointers if pointer is not None])).to(device)


class PointerPath(NamedTuple):
    place: np.ndarray  # [T], 0...P - 1: the phoneme of each frame
    advance: np.ndarray  # [T], 0...max_advance: phonemes to move after it; the sum over an utterance is P


def pointer_path(alignment: np.ndarray, n_symbols: int, max_advance: int) -> PointerPath:
    """Returns the path nearest to `alignment` [T] from the first of `n_symbols` P to past the last, moving by at most
    `max_advance` per frame.

    Raises `BadSettings` if there are too few frames.
    """
    n_frames = len(alignment)
    if n_frames * max_advance < n_symbols:
        raise BadSettings(
            f"An utterance of {n_frames} frames has {n_symbols} phonemes; a pointer that moves by at most {max_advance} "
            "cannot reach the end. Leave it out, or raise model.max_advance."
        )
    frame = np.arange(n_frames)
    place = np.maximum.accumulate(np.clip(alignment.astype(np.int64), 0, n_symbols - 1))
    place[:1] = 0
    # Upper bound: reachable from earlier frames at no more than max_advance per frame ...
    place = np.minimum.accumulate(place - max_advance * frame) + max_advance * frame
    # ... and lower bound: early enough to reach the end at that rate.
    place = np.maximum(place, n_symbols - max_advance * (n_frames - frame))
    return PointerPath(place, np.diff(place, append=n_symbols))


def path_sides(symbols: np.ndarray, place: np.ndarray, n_ahead: int, max_spent: int) -> np.ndarray:
    """Returns the side ids [T, n_ahead + 2] of all frames, equal to those of a `Pointer` on this path."""
    padded = np.concatenate([symbols, np.zeros(n_ahead + 1, np.int64)])
    ids = padded[place[:, None] + np.arange(n_ahead + 1)]
    frame = np.arange(len(place))
    arrival = np.maximum.accumulate(np.where(np.diff(place, prepend=-1) > 0, frame, 0))
    return np.concatenate([ids, np.minimum(frame - arrival, max_spent)[:, None]], axis=1)


def pointed_prompt(
    tokens: Tensor, symbols: np.ndarray, side_sizes: Sequence[int], conditioning: Tensor | None = None
) -> tuple[Prompt, Pointer]:
    """Returns the prompt of `tokens` [R, S], which end with the `symbols` to speak, and the pointer for its sampler.

    Text positions have no side ids; the first frame is sampled from the last position.
    """
    n_side = len(side_sizes)
    pointer = Pointer(symbols, n_side, max_spent=side_sizes[-1] - 1)
    side = torch.zeros(tokens.shape[1], n_side, dtype=torch.long)
    side[-1] = torch.from_numpy(pointer.side())
    return Prompt(tokens, conditioning, side.to(tokens.device)), pointer


def whole_utterance(
    symbols: np.ndarray, codes: np.ndarray, place: np.ndarray, *, semantic_begin_id: int, n_ahead: int, max_spent: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns tokens [1 + K, S] and side ids [S, n_ahead + 2] of `symbols` [P] spoken as `codes` [K, T] along `place`
    [T].

    Each frame is predicted by the position before it, from P - 1 on; the last frame predicts nothing and is left out.
    """
    n_text, (K, T) = len(symbols), codes.shape
    tokens = np.zeros((1 + K, n_text + T - 1), np.int64)
    tokens[0, :n_text] = symbols
    tokens[0, n_text:] = semantic_begin_id + codes[0, :-1]
    tokens[1:, n_text:] = codes[:, :-1]
    side = np.zeros((n_text + T - 1, n_ahead + 2), np.int64)
    side[n_text - 1 :] = path_sides(symbols, place, n_ahead, max_spent)
    return tokens, side
