"""Prompt format of openaudio-s1: speaker, text, speech, speaker, text, ... without roles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptReference, SpokenTurn, newest_that_fit
from backend.text.prompts.turns import TurnSegment, cut_turns, segments_of, split_turns

SPEAKER = "<|speaker:0|>"
# Enough for the previous segment, for consistent voice and tone; more costs attention in every frame.
N_HISTORY = 1024


class S1PromptFormat:
    """Each reference and generated segment is `speaker | text | speech | im_end`.

    The speaker tag is plain text in this vocabulary. It is always speaker 0, even before text with other tags.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.lead = columns.user_text(SPEAKER)

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        if not split_long or len(text.encode("utf-8", "surrogatepass")) <= chunk_length:
            return segments_of([text])
        return segments_of(cut_turns(split_turns(text) or [text], chunk_length))

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray:
        turns = [self.closed(SpokenTurn(TurnSegment(r.text), r.codes, None)) for r in references or ()]
        return self.columns.join(self.columns.control("interleave"), *turns)

    def opened(self, segment: TurnSegment) -> np.ndarray:
        return self.columns.join(self.lead, self.columns.user_text(segment.text))

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        speech = self.columns.frames(spoken.codes)
        return self.columns.join(self.opened(spoken.segment), speech, self.columns.control("im_end"))

    def kept(self, past: Sequence[np.ndarray], budget: PromptBudget) -> list[int]:
        return newest_that_fit(past, budget, N_HISTORY)
