"""Prompts of openaudio-s1: speaker, text, speech, speaker, text, ... in one stream without roles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import Reference, Room, Spoken, newest_that_fit
from backend.text.prompts.turns import Segment, cut_turns, segments_of, split_turns

SPEAKER = "<|speaker:0|>"
# Enough for the segment before, so that voice and tone carry over; more costs attention in every frame.
N_HISTORY = 1024


class S1Layout:
    """Each reference, and each segment already spoken, is `speaker | text | speech | im_end`.

    The speaker tag is plain text to this vocabulary. It always names speaker 0, even before text with tags of its own.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.lead = columns.words(SPEAKER)

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[Segment]:
        if not split_long or len(text.encode("utf-8", "surrogatepass")) <= chunk_length:
            return segments_of([text])
        return segments_of(cut_turns(split_turns(text) or [text], chunk_length))

    def head(self, references: Sequence[Reference] | None) -> np.ndarray:
        turns = [self.closed(Spoken(Segment(r.text), r.codes, None)) for r in references or ()]
        return self.columns.join(self.columns.control("interleave"), *turns)

    def opened(self, segment: Segment) -> np.ndarray:
        return self.columns.join(self.lead, self.columns.words(segment.text))

    def closed(self, spoken: Spoken) -> np.ndarray:
        speech = self.columns.frames(spoken.codes)
        return self.columns.join(self.opened(spoken.segment), speech, self.columns.control("im_end"))

    def kept(self, past: Sequence[np.ndarray], room: Room) -> list[int]:
        return newest_that_fit(past, room, N_HISTORY)
