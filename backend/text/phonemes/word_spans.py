"""Map written words to spans of phoneme symbols."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from backend.text.phonemes.english import PUNCTUATION
from backend.text.prompts.turns import SPEAKER_TAG
from backend.text.tokenizers.control_tokens import PHONEME_END, PHONEME_START
from backend.text.tokenizers.phoneme import PhonemeTokenizer

# An explicit pronunciation may contain spaces and is one word.
WORD = re.compile(rf"(?:{re.escape(PHONEME_START)}.*?{re.escape(PHONEME_END)}|\S)+", re.DOTALL)


class WordSpan(NamedTuple):
    """A written word and its symbols `start` to `end`, not counting the silences at the edges."""

    word: str
    start: int
    end: int


def word_spans(tokenizer: PhonemeTokenizer, text: str) -> list[WordSpan]:
    """Return the spoken words of a text in order, with their spans in `tokenizer.encode(text)`.

    Words and symbol groups are matched in order. If a word has several groups ("$5"), each word is encoded alone to
    count its groups; if the counts still do not match, the groups are distributed evenly.
    """
    text = SPEAKER_TAG.sub(" ", text).strip()
    groups = _groups(tokenizer, tokenizer.encode(text))
    words = [word for word in WORD.findall(text) if any(c.isalnum() for c in word)]
    if not groups or not words:
        return []
    counts = [1] * len(words)
    if len(words) != len(groups):
        counts = [len(_groups(tokenizer, tokenizer.encode(word))) for word in words]
    if sum(counts) != len(groups):
        edges = [round(len(groups) * index / len(words)) for index in range(len(words) + 1)]
        counts = [after - before for before, after in pairwise(edges)]
    spans, at = [], 0
    for word, count in zip(words, counts, strict=True):
        if count:
            shown = word.replace(PHONEME_START, "").replace(PHONEME_END, "")
            spans.append(WordSpan(shown, groups[at][0], groups[at + count - 1][1]))
        at += count
    return spans


def _groups(tokenizer: PhonemeTokenizer, ids: list[int]) -> list[tuple[int, int]]:
    """Return the runs of sounds between spaces, without punctuation."""
    groups: list[tuple[int, int]] = []
    is_new = True
    for index, symbol in enumerate(tokenizer.symbols[symbol_id] for symbol_id in ids):
        if symbol == " ":
            is_new = True
        elif symbol not in PUNCTUATION:
            if is_new:
                groups.append((index, index + 1))
            groups[-1] = (groups[-1][0], index + 1)
            is_new = False
    return groups
