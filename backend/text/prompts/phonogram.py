"""Prompts of the built-in voice: symbols, speech, symbols, ... each announced by its own token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import Reference, Room, Spoken
from backend.text.prompts.turns import SPEAKER_TAG, Segment, cut_turns, segments_of, split_turns


class PhonogramLayout:
    """Each reference is `text | symbols | voice | speech | im_end`; the open turn ends with `voice`.

    A named voice is a conditioning vector beside the prompt, so every segment stands alone: nothing is said before.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.lead = columns.control("text")

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[Segment]:
        turns = split_turns(text) or [text]
        if split_long:
            turns = cut_turns(turns, chunk_length)
        return segments_of(turns)

    def head(self, references: Sequence[Reference] | None) -> np.ndarray:
        turns = [self.closed(Spoken(Segment(r.text), r.codes, None)) for r in references or ()]
        return self.columns.join(*turns)

    def opened(self, segment: Segment) -> np.ndarray:
        # Speaker tags choose a voice, they are not said.
        symbols = self.columns.words(SPEAKER_TAG.sub(" ", segment.text).strip())
        return self.columns.join(self.lead, symbols, self.columns.control("voice"))

    def closed(self, spoken: Spoken) -> np.ndarray:
        speech = self.columns.frames(spoken.codes)
        return self.columns.join(self.opened(spoken.segment), speech, self.columns.control("im_end"))

    def kept(self, past: Sequence[np.ndarray], room: Room) -> list[int]:
        return []
