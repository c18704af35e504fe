"""Prompt format of s2: a ChatML conversation with one user message per group of turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptReference, SpokenTurn, newest_that_fit
from backend.text.prompts.turns import SPEAKER_TAG, TurnSegment, cut_turns, group_turns, segments_of, split_turns

TASK = "convert the provided text to speech"
TASK_WITH_VOICES = f"{TASK} reference to the following:\n\nText:\n"
SPEECH_HEADING = "\n\nSpeech:\n"


class S2PromptFormat:
    """A system message with all references, then alternating user and assistant messages.

    `as_upstream` drops text before the first speaker tag and keeps history beyond the context.
    """

    def __init__(self, columns: Columns, *, as_upstream: bool = False) -> None:
        self.columns, self.as_upstream = columns, as_upstream
        self.lead = columns.prompt_text("<|im_start|>user\n")
        self._end = columns.prompt_text("<|im_end|>\n")
        self._answer = columns.prompt_text("<|im_start|>assistant\n<|voice|>")

    def segments(self, text: str, chunk_length: int, *, split_long: bool) -> list[TurnSegment]:
        turns = split_turns(text, keep_lead=not self.as_upstream)
        if split_long and (turns or len(text.encode("utf-8", "surrogatepass")) > chunk_length):
            return segments_of(cut_turns(turns or [text], chunk_length))
        return segments_of(group_turns(turns, chunk_length) if turns else [text])

    def head(self, references: Sequence[PromptReference] | None) -> np.ndarray:
        columns = self.columns
        task = [columns.prompt_text(TASK)]
        if references:
            texts = [
                r.text if SPEAKER_TAG.search(r.text) else f"<|speaker:{index}|>{r.text}"
                for index, r in enumerate(references)
            ]
            speech = [columns.frames(r.codes) for r in references]
            task = [columns.prompt_text(TASK_WITH_VOICES), columns.user_text("\n".join(texts))]
            task += [columns.prompt_text(SPEECH_HEADING), *speech]
        return columns.join(columns.prompt_text("<|im_start|>system\n"), *task, self._end)

    def opened(self, segment: TurnSegment) -> np.ndarray:
        return self.columns.join(self.lead, self.columns.user_text(segment.text), self._end, self._answer)

    def closed(self, spoken: SpokenTurn) -> np.ndarray:
        return self.columns.join(self.opened(spoken.segment), self.columns.frames(spoken.codes), self._end)

    def kept(self, past: Sequence[np.ndarray], budget: PromptBudget) -> list[int]:
        # The model was trained on whole conversations, so keep all that fits.
        return list(range(len(past))) if self.as_upstream else newest_that_fit(past, budget)
