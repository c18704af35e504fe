"""What an family must know to write its prompts, and what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from backend.text.prompts.turns import TurnSegment


@dataclass(frozen=True, slots=True, eq=False)
class PromptReference:
    """A clip of the voice to speak with: its words and its codes [C, T]."""

    text: str
    codes: np.ndarray


class SpokenTurn(NamedTuple):
    """A segment already spoken. `stop_codes` [C] are those the model gave the stop column, None if it never stopped."""

    segment: TurnSegment
    codes: np.ndarray
    stop_codes: np.ndarray | None


class PromptBudget(NamedTuple):
    """Columns there are for a prompt: `n_limit` in all, of them `n_head` taken by the head and `n_new` by the segment
    to speak next. `has_voice` says that the head holds a voice."""

    n_limit: int
    n_head: int
    n_new: int
    has_voice: bool


class PromptFormat(Protocol):
    """One family. Every prompt is head, turns already spoken, then an open turn whose first columns are `lead`."""

    lead: np.ndarray

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        """Cut a text into what is spoken in one generation each; `chunk_length` in bytes of UTF-8."""

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray: ...

    def opened(self, segment: TurnSegment) -> np.ndarray:
        """The turn up to where the model is to speak."""

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        """The turn with its speech."""

    def kept(self, past: Sequence[np.ndarray], room: PromptBudget) -> list[int]:
        """Which of the turns spoken so far (their columns) go into the next prompt, in order."""


def newest_that_fit(past: Sequence[np.ndarray], room: PromptBudget, n_history: int | None = None) -> list[int]:
    """The newest turns that fit the room, and at most `n_history` columns of them unless it is None.

    Without a voice in the head the first turn comes before all others: it is what the voice is taken from.
    """
    left = room.n_limit - room.n_head - room.n_new
    kept: list[int] = []
    if past and not room.has_voice and past[0].shape[1] <= left:
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
