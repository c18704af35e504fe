"""Voice conditioning of the language model: reference clips, a speaker embedding, or neither."""

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
    """A voice given by `references`, by a speaker embedding `conditioning` [D], or left to the model.

    `cache_hits` and `ignored` describe the request it was made for: cached references, and options not applied.
    `frame_sampler` is the fast stack of an adapted voice, identified by `sampler_key`.
    """

    references: tuple[PromptReference, ...] = ()
    conditioning: Tensor | None = None
    frame_sampler: FrameSampler | None = None
    sampler_key: str = ""
    cache_hits: int = 0
    ignored: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A hash of everything the model sees of the voice: transcripts, codes and embedding."""
        parts: list[bytes | str | int] = []
        for reference in self.references:
            codes = np.ascontiguousarray(reference.codes, dtype=np.int64)
            parts += [reference.text, codes.shape[0], codes.tobytes()]
        if self.conditioning is not None:
            parts.append(self.conditioning.float().cpu().numpy().tobytes())
        if self.frame_sampler is not None:
            parts.append(self.sampler_key)
        return content_key(*parts)
