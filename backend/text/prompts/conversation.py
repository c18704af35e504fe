"""Conversation: the segments of a text and the prompt of each, including previous segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backend.errors import BadText, LimitExceeded
from backend.text.prompts.columns import Columns
from backend.text.prompts.layout import PromptBudget, PromptFormat, PromptReference, SpokenTurn
from backend.text.prompts.phonogram import PhonogramPromptFormat
from backend.text.prompts.s1 import S1PromptFormat
from backend.text.prompts.s2 import S2PromptFormat
from backend.text.prompts.turns import TurnSegment, is_silent
from backend.text.prompts.v15 import V15PromptFormat
from backend.text.tokenizers.base import Tokenizer

# Frames reserved for generation, unless the model's context is small.
N_RESERVED = 2048
V15_WINDOW = 4096

LAYOUTS: dict[str, Callable[[Columns, bool, int], PromptFormat]] = {
    "s1": lambda columns, as_upstream, max_length: S1PromptFormat(columns),
    "s2": lambda columns, as_upstream, max_length: S2PromptFormat(columns, as_upstream=as_upstream),
    "v15": lambda columns, as_upstream, max_length: V15PromptFormat(
        columns, max_length=max_length, as_upstream=as_upstream
    ),
    "phonogram": lambda columns, as_upstream, max_length: PhonogramPromptFormat(columns),
}


class Conversation:
    """Segments in order. Call `prompt(k)`, then `add` the generated codes, then continue with the next segment.

    `n_shared`: leading columns shared by every prompt with these references, for any text.
    """

    def __init__(
        self,
        layout: PromptFormat,
        segments: Sequence[TurnSegment],
        references: Sequence[PromptReference] | None,
        n_limit: int,
    ) -> None:
        self.segments = list(segments)
        self.n_limit = n_limit
        self._layout = layout
        self._head = layout.head(references)
        self._has_voice = bool(references)
        self._opened: dict[int, np.ndarray] = {}
        self._closed: dict[int, np.ndarray] = {}
        self.n_shared = self._head.shape[1] + layout.lead.shape[1]

    def prompt(self, k: int) -> np.ndarray:
        """Return the prompt [1 + C, S] (int64) of segment `k`, including the previous segments that were added.

        Raises `LimitExceeded` if it exceeds the model's context.
        """
        opened = self._open(k)
        past = [self._closed[index] for index in sorted(self._closed) if index < k]
        budget = PromptBudget(self.n_limit, self._head.shape[1], opened.shape[1], self._has_voice)
        kept = [past[index] for index in self._layout.kept(past, budget)]
        prompt = np.concatenate([self._head, *kept, opened], axis=1)
        self._check(prompt.shape[1])
        return prompt

    def add(self, k: int, codes: np.ndarray, stop_codes: np.ndarray | None = None) -> None:
        """Add the codes [C, T] of segment `k` to the prompts of later segments.

        `stop_codes` [C]: the codes generated for the stop column, if any.
        """
        self._closed[k] = self._layout.closed(SpokenTurn(self.segments[k], codes, stop_codes))

    def opened(self, k: int) -> np.ndarray:
        """Return the last columns of `prompt(k)`, those of segment `k` itself.

        For the built-in voice, row 0 holds the symbols of the text pointer, with the silences at both ends.
        """
        return self._open(k)

    def check(self) -> None:
        """Raise `LimitExceeded` if any segment would exceed the context."""
        for k in range(len(self.segments)):
            self._check(self._head.shape[1] + self._open(k).shape[1])

    def _open(self, k: int) -> np.ndarray:
        if k not in self._opened:
            self._opened[k] = self._layout.opened(self.segments[k])
        return self._opened[k]

    def _check(self, n_columns: int) -> None:
        if n_columns > self.n_limit:
            raise LimitExceeded(
                f"The prompt is {n_columns} tokens, {self._head.shape[1]} of them the references; the limit is "
                f"{max(self.n_limit, 0)}. Use shorter references or a smaller chunk length, or raise MAX_SEQ_LEN."
            )


def start_conversation(
    family: str,
    tokenizer: Tokenizer,
    n_codebooks: int,
    text: str,
    references: Sequence[PromptReference] | None = (),
    *,
    chunk_length: int = 200,
    max_seq_len: int = 8192,
    n_reserved: int | None = None,
    max_length: int | None = None,
    split_long: bool = True,
    as_upstream: bool = False,
) -> Conversation:
    """Split `text` into segments and prepare their prompts.

    `chunk_length`: target size of a segment in UTF-8 bytes. `n_reserved`: columns of `max_seq_len` reserved for speech
    (None: 2048, or half of a smaller context). `max_length`: the window of v1.5. `split_long` False splits only at
    speaker tags. `as_upstream` reproduces the defects of the reference implementation, for comparison only: control
    tokens in user text, dropped text before the first speaker tag, empty text.

    Raises `BadText` for text without words, `LimitExceeded` if text or references exceed the context, and `BadCodes`
    for references of another codec.
    """
    if not as_upstream and is_silent(text):
        raise BadText("There is no text to speak. Send at least one word.")
    if n_reserved is None:
        n_reserved = min(N_RESERVED, max_seq_len // 2)
    window = min(V15_WINDOW, max_seq_len) if max_length is None else max_length
    layout = LAYOUTS[family](Columns(tokenizer, n_codebooks, parse_controls=as_upstream), as_upstream, window)
    segments = layout.segments(text, chunk_length, split_long=split_long)
    if not as_upstream:
        segments = [segment for segment in segments if not is_silent(segment.text)]
        if not segments:
            raise BadText("The text contains only punctuation. Send at least one word.")
    conversation = Conversation(layout, segments, references, max_seq_len - n_reserved)
    if not as_upstream:
        conversation.check()
    return conversation
