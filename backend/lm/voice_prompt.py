"""The prompt of a voice with a pointer: which phonemes the pointer walks over, and where it starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backend.lm.base import Prompt
from backend.lm.pointer import Pointer


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
