"""A voice as the language model takes it: clips to continue, or a vector beside the prompt, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backend.runtime.lru_cache import content_key
from backend.text.prompts.layout import PromptReference

if TYPE_CHECKING:
    from torch import Tensor

    from backend.lm.base import FrameSampler


@dataclass(frozen=True, slots=True, eq=False)
class VoiceConditioning:
    """`conditioning` [D] is for models that have such vectors. No references and none: the model's own choice.

    `cache_hits` and `ignored` are of the request it was made for: what was found, and what was asked in vain, in words.
    `frame_sampler` is the fast stack of a voice that has its own, and `drawer_key` names what is in it.
    """

    references: tuple[PromptReference, ...] = ()
    conditioning: Tensor | None = None
    frame_sampler: FrameSampler | None = None
    drawer_key: str = ""
    cache_hits: int = 0
    ignored: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for voices that are the same to the model: words, codes and vector."""
        parts: list[bytes | str | int] = []
        for reference in self.references:
            codes = np.ascontiguousarray(reference.codes, dtype=np.int64)
            parts += [reference.text, codes.shape[0], codes.tobytes()]
        if self.conditioning is not None:
            parts.append(self.conditioning.float().cpu().numpy().tobytes())
        if self.frame_sampler is not None:
            parts.append(self.drawer_key)
        return content_key(*parts)
