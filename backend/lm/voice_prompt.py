"""The prompt of a voice with a pointer: which phonemes the pointer walks over, and where it starts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.errors import BadCodes
from backend.lm.base import Prompt
from backend.lm.config import DualARConfig
from backend.lm.pointer import Pointer


def pointed_prompt(
    tokens: Tensor | np.ndarray, begin_id: int, config: DualARConfig, conditioning: Tensor | None = None
) -> tuple[Prompt, Pointer]:
    """The prompt of `tokens` [R, S], which end with the phonemes to be spoken, and the pointer of its sampler.

    `begin_id` is the silence those phonemes begin with; the last one in the prompt counts. Side ids stand at the last
    position alone, the only one that is followed by sound. Raises `BadCodes` for tokens without that silence.
    """
    tokens = torch.as_tensor(tokens)
    main = tokens[0].tolist()
    if begin_id not in main:
        raise BadCodes("The prompt holds no text that is yet to be spoken. Build it for this voice.")
    first = len(main) - 1 - main[::-1].index(begin_id)
    n_side = len(config.side_sizes)
    pointer = Pointer(main[first:], n_side, config.side_sizes[-1] - 1)
    side = torch.zeros(len(main), n_side, dtype=torch.long)
    side[-1] = torch.from_numpy(pointer.side())
    return Prompt(tokens, conditioning, side.to(tokens.device)), pointer
