"""The prompt of a voice with a pointer: which phonemes the pointer walks over, and where it starts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.errors import BadCodes
from backend.lm.base import Prompt
from backend.lm.config import DualARConfig
from backend.lm.pointer import Pointer


class VoiceIds(NamedTuple):
    """Ids of a tokenizer: what announces text and speech, and the silences before and after an utterance."""

    text: int
    voice: int
    begin: int
    end: int


def pointed_prompt(
    tokens: Tensor | np.ndarray, ids: VoiceIds, config: DualARConfig, conditioning: Tensor | None = None
) -> tuple[Prompt, Pointer]:
    """The prompt of `tokens` [R, S], which end with `text`, phonemes, `voice`; and the pointer of its sampler.

    The pointer goes over the silence before, the phonemes and the silence after. Side ids stand at `voice` alone,
    the only position that is followed by sound. Raises `BadCodes` for tokens that do not end like that.
    """
    tokens = torch.as_tensor(tokens)
    main = tokens[0].tolist()
    if ids.text not in main or main[-1] != ids.voice:
        raise BadCodes("The prompt does not end with a text that is yet to be spoken. Build it for this voice.")
    first = len(main) - main[::-1].index(ids.text)
    n_side = len(config.side_sizes)
    pointer = Pointer([ids.begin, *main[first:-1], ids.end], n_side, config.side_sizes[-1] - 1)
    side = torch.zeros(len(main), n_side, dtype=torch.long)
    side[-1] = torch.from_numpy(pointer.side())
    return Prompt(tokens, conditioning, side.to(tokens.device)), pointer
