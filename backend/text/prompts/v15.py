"""Prompt format of fish-speech 1.2 to 1.5: messages with roles and a window over previous turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptReference, SpokenTurn
from backend.text.prompts.turns import TurnSegment, segments_of
from backend.text.segmentation.fish_v15 import clean_v15, split_v15

TASK = "Speak out the provided text."
# Columns of the window reserved for generated speech.
N_RESERVED = 1024


class V15PromptFormat:
    """A system message, the references as messages, then alternating user and assistant messages.

    There is no system message if the list of references is None. `as_upstream` reproduces an upstream defect when the
    newest segment alone exceeds the window: the first turn appears twice.
    """

    def __init__(self, columns: Columns, *, max_length: int, as_upstream: bool = False) -> None:
        """`max_length`: the window in columns; upstream's server uses 4096, its command line 2048."""
        self.columns, self.max_length, self.as_upstream = columns, max_length, as_upstream
        self.lead = columns.prompt_text("<|im_start|>user\n")
        self._end = columns.control("im_end")
        self._answer = columns.prompt_text("<|im_start|>assistant\n<|voice|>")
        system = columns.prompt_text("<|im_start|>system\n"), columns.prompt_text(TASK)
        self._system = columns.join(*system, self._end)

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        return segments_of(split_v15(text, chunk_length) if split_long else [clean_v15(text)])

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray:
        if references is None:
            return self.columns.ids([])
        turns = [
            self.columns.join(self.opened(TurnSegment(clean_v15(r.text))), self.columns.frames(r.codes), self._end)
            for r in references
        ]
        return self.columns.join(self._system, *turns)

    def opened(self, segment: TurnSegment) -> np.ndarray:
        return self.columns.join(self.lead, self.columns.user_text(segment.text), self._end, self._answer)

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        parts = [self.opened(spoken.segment), self.columns.frames(spoken.codes)]
        if spoken.stop_codes is not None or not self.as_upstream:
            # The stop column keeps its generated codes, as in training.
            parts.append(self.columns.stop(spoken.stop_codes))
        return self.columns.join(*parts)

    def kept(self, past: Sequence[np.ndarray], budget: PromptBudget) -> list[int]:
        # The window counts parts: text and speech of each turn, then the new text.
        parts = [length for turn in past for length in self._part_lengths(turn)] + [budget.n_new]
        # Upstream subtracts the system message even if it is not sent.
        n_head = max(budget.n_head, self._system.shape[1])
        n_newest = _newest_parts(parts, self.max_length - N_RESERVED - n_head)
        if n_newest >= len(parts) - 2:
            return list(range(len(past)))
        if n_newest == 0:
            return [0, *range(len(past))] if self.as_upstream else []
        # Always keep the first turn, which defines the voice.
        return [0, *range(len(past) - (n_newest - 1) // 2, len(past))]

    def _part_lengths(self, turn: np.ndarray) -> tuple[int, int]:
        # Speech starts after the last <|voice|> of the turn's text part.
        n_text = int(np.flatnonzero(turn[0] == self._answer[0, -1])[-1]) + 1
        return n_text, turn.shape[1] - n_text


def _newest_parts(lengths: Sequence[int], budget: int) -> int:
    """Return the number of newest parts within the budget, counted as upstream does."""
    total = index = 0
    for index, length in enumerate(reversed(lengths)):  # noqa: B007 - the index where the walk stopped
        total += length
        if total + length > budget:
            break
    return index - 1 if index and index % 2 == 0 else index
