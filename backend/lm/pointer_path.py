"""The way of the pointer through an utterance: what it points at in every frame, and how it moves on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backend.errors import BadSettings


class PointerPath(NamedTuple):
    place: np.ndarray  # [T], 0...P - 1: the phoneme of each frame
    advance: np.ndarray  # [T], 0...max_advance: phonemes to move after it; the sum over an utterance is P


def pointer_path(alignment: np.ndarray, n_symbols: int, max_advance: int) -> PointerPath:
    """The path nearest to `alignment` [T] that starts at the first of `n_symbols` P, ends behind the last, and never
    moves by more than `max_advance` at once. Raises `BadSettings` if there are too few frames for that.
    """
    n_frames = len(alignment)
    if n_frames * max_advance < n_symbols:
        raise BadSettings(
            f"An utterance of {n_frames} frames has {n_symbols} phonemes; a pointer that moves by at most {max_advance} "
            "does not come through. Leave it out, or raise model.max_advance."
        )
    frame = np.arange(n_frames)
    place = np.maximum.accumulate(np.clip(alignment.astype(np.int64), 0, n_symbols - 1))
    place[:1] = 0
    # Late enough to be reachable from before, at no more than max_advance a frame ...
    place = np.minimum.accumulate(place - max_advance * frame) + max_advance * frame
    # ... and early enough to reach the end: a lower bound that itself keeps to the speed.
    place = np.maximum(place, n_symbols - max_advance * (n_frames - frame))
    return PointerPath(place, np.diff(place, append=n_symbols))


def path_sides(symbols: np.ndarray, place: np.ndarray, n_ahead: int, max_spent: int) -> np.ndarray:
    """Side ids [T, n_ahead + 2] of all frames at once, as a `Pointer` that goes this way gives them one by one."""
    padded = np.concatenate([symbols, np.zeros(n_ahead + 1, np.int64)])
    ids = padded[place[:, None] + np.arange(n_ahead + 1)]
    frame = np.arange(len(place))
    arrived = np.maximum.accumulate(np.where(np.diff(place, prepend=-1) > 0, frame, 0))
    return np.concatenate([ids, np.minimum(frame - arrived, max_spent)[:, None]], axis=1)
