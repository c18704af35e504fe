"""Prompt format interface and its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from backend.text.prompts.turns import TurnSegment


@dataclass(frozen=True, slots=True, eq=False)
class PromptReference:
    """A reference clip: transcript and codes [C, T]."""

    text: str
    codes: np.ndarray


class SpokenTurn(NamedTuple):
    """A generated segment. `stop_codes` [C] are the codes of the stop column, None if generation did not stop."""

    segment: TurnSegment
    codes: np.ndarray
    stop_codes: np.ndarray | None


class PromptBudget(NamedTuple):
    """Columns available for a prompt: `n_limit` in total, `n_head` for the head, `n_new` for the next segment.

    `has_voice`: the head contains a reference.
    """

    n_limit: int
    n_head: int
    n_new: int
    has_voice: bool


class PromptFormat(Protocol):
    """Prompt format of one family: head, generated turns, then an open turn that starts with `lead`."""

    lead: np.ndarray

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        """Split a text into segments generated one at a time; `chunk_length` in UTF-8 bytes."""

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray: ...

    def opened(self, segment: TurnSegment) -> np.ndarray:
        """Return the turn up to the position where generation starts."""

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        """Return the turn including its speech."""

    def kept(self, past: Sequence[np.ndarray], budget: PromptBudget) -> list[int]:
        """Return the indices of the previous turns to include in the next prompt, in order."""


def newest_that_fit(past: Sequence[np.ndarray], budget: PromptBudget, n_history: int | None = None) -> list[int]:
    """Return the newest turns within the budget, at most `n_history` columns unless it is None.

    Without a voice in the head, the first turn is always included, since it defines the voice.
    """
    left = budget.n_limit - budget.n_head - budget.n_new
    kept: list[int] = []
    if past and not budget.has_voice and past[0].shape[1] <= left:
        kept.append(0)
        left -= past[0].shape[1]
    if n_history is not None:
        left = min(left, n_history)
    for index in range(len(past) - 1, -1 + len(kept), -1):
        left -= past[index].shape[1]
        if left < 0:
            break
        kept.append(index)
    return sorted(kept)
