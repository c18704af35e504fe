"""What a voice with a pointer reads: the prompt it speaks from, and a whole utterance it learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backend.lm.base import Prompt
from backend.lm.pointer_path import path_sides
from backend.lm.text_pointer import Pointer


def pointed_prompt(
    tokens: Tensor, symbols: np.ndarray, side_sizes: Sequence[int], conditioning: Tensor | None = None
) -> tuple[Prompt, Pointer]:
    """The prompt of `tokens` [R, S], which end with the `symbols` to be spoken, and the pointer of its sampler.

    What is read has no side ids; the last position is what the first frame is drawn from.
    """
    n_side = len(side_sizes)
    pointer = Pointer(symbols, n_side, max_spent=side_sizes[-1] - 1)
    side = torch.zeros(tokens.shape[1], n_side, dtype=torch.long)
    side[-1] = torch.from_numpy(pointer.side())
    return Prompt(tokens, conditioning, side.to(tokens.device)), pointer


def whole_utterance(
    symbols: np.ndarray, codes: np.ndarray, place: np.ndarray, *, semantic_begin_id: int, n_ahead: int, max_spent: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Tokens [1 + K, S] and side ids [S, n_ahead + 2] of `symbols` [P] said as `codes` [K, T], with the pointer at
    `place` [T].

    Each frame is told by the position before it, from P - 1 on: the text is followed by the first frame, and the last
    frame, which is followed by nothing, is not there.
    """
    n_text, (K, T) = len(symbols), codes.shape
    tokens = np.zeros((1 + K, n_text + T - 1), np.int64)
    tokens[0, :n_text] = symbols
    tokens[0, n_text:] = semantic_begin_id + codes[0, :-1]
    tokens[1:, n_text:] = codes[:, :-1]
    side = np.zeros((n_text + T - 1, n_ahead + 2), np.int64)
    side[n_text - 1 :] = path_sides(symbols, place, n_ahead, max_spent)
    return tokens, side
