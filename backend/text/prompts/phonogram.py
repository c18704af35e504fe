"""Prompt format of the built-in voice: the symbols of a text between silences, then speech."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from backend.errors import BadText
from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptReference, SpokenTurn
from backend.text.prompts.turns import SPEAKER_TAG, TurnSegment, cut_turns, segments_of, split_turns
from backend.text.tokenizers.phoneme import PhonemeTokenizer


class PhonogramPromptFormat:
    """Each reference is `begin | symbols | end | speech | im_end`; the open turn is `begin | symbols | end`.

    A voice is a conditioning vector outside the prompt, so prompts contain no previous segments.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.tokenizer = cast(PhonemeTokenizer, columns.tokenizer)
        self.lead = columns.ids([self.tokenizer.begin_id])
        self._symbols_of: dict[str, list[int]] = {}

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        turns = split_turns(text) or [text]
        segments = segments_of(cut_turns(turns, chunk_length) if split_long else turns)
        # Drop sentences without readable symbols; `unicode_scripts.py` reports them.
        return [segment for segment in segments if self._symbols(segment.text)] or segments

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray:
        turns = [self.closed(SpokenTurn(TurnSegment(r.text), r.codes, None)) for r in references or ()]
        return self.columns.join(*turns)

    def opened(self, segment: TurnSegment) -> np.ndarray:
        symbols = self._symbols(segment.text)
        if not symbols and segment.text.strip():
            raise BadText(
                f"'{segment.text.strip()[:40]}' contains no text that this voice can read. Use English words."
            )
        return self.columns.ids([self.tokenizer.begin_id, *symbols, self.tokenizer.finish_id])

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        speech = self.columns.frames(spoken.codes)
        return self.columns.join(self.opened(spoken.segment), speech, self.columns.control("im_end"))

    def kept(self, past: Sequence[np.ndarray], budget: PromptBudget) -> list[int]:
        return []

    def _symbols(self, text: str) -> list[int]:
        if text not in self._symbols_of:
            # Speaker tags select a voice and are not spoken.
            self._symbols_of[text] = self.tokenizer.encode(SPEAKER_TAG.sub(" ", text).strip())
        return self._symbols_of[text]
