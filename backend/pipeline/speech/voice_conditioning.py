"""A voice as the language model takes it: clips to continue, or a vector beside the prompt, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backend.runtime.lru_cache import content_key
from backend.text.prompts.layout import Reference

if TYPE_CHECKING:
    from torch import Tensor

    from backend.lm.base import FrameDrawer


@dataclass(frozen=True, slots=True, eq=False)
class SpokenVoice:
    """`conditioning` [D] is for models that have such vectors. No references and none: the model's own choice.

    `cache_hits` and `ignored` are of the request it was made for: what was found, and what was asked in vain, in words.
    `drawer` is the fast stack of a voice that has its own, and `drawer_key` names what is in it.
    """

    references: tuple[Reference, ...] = ()
    conditioning: Tensor | None = None
    drawer: FrameDrawer | None = None
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
        if self.drawer is not None:
            parts.append(self.drawer_key)
        return content_key(*parts)
