"""Prompts of openaudio-s1: speaker, text, speech, speaker, text, ... in one stream without roles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptReference, SpokenTurn, newest_that_fit
from backend.text.prompts.turns import TurnSegment, cut_turns, segments_of, split_turns

SPEAKER = "<|speaker:0|>"
# Enough for the segment before, so that voice and tone carry over; more costs attention in every frame.
N_HISTORY = 1024


class S1PromptFormat:
    """Each reference, and each segment already spoken, is `speaker | text | speech | im_end`.

    The speaker tag is plain text to this vocabulary. It always names speaker 0, even before text with tags of its own.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.lead = columns.words(SPEAKER)

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        if not split_long or len(text.encode("utf-8", "surrogatepass")) <= chunk_length:
            return segments_of([text])
        return segments_of(cut_turns(split_turns(text) or [text], chunk_length))

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray:
        turns = [self.closed(SpokenTurn(TurnSegment(r.text), r.codes, None)) for r in references or ()]
        return self.columns.join(self.columns.control("interleave"), *turns)

    def opened(self, segment: TurnSegment) -> np.ndarray:
        return self.columns.join(self.lead, self.columns.words(segment.text))

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        speech = self.columns.frames(spoken.codes)
        return self.columns.join(self.opened(spoken.segment), speech, self.columns.control("im_end"))

    def kept(self, past: Sequence[np.ndarray], room: PromptBudget) -> list[int]:
        return newest_that_fit(past, room, N_HISTORY)
