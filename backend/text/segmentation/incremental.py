"""Incremental sentence splitting of streamed text."""

from __future__ import annotations

import re

from backend.text.segmentation.sentences import split_sentences, split_to_length

# An unclosed bracket or tag at the end of the text so far: it may still be closed, so it is not split.
OPEN_MARK = re.compile(
    r"\[[^\[\]\n]{0,64}\Z|<\|phoneme_start\|>(?:(?!<\|phoneme_end\|>)[\s\S]){0,400}\Z|<(?:\|[^|<>\s]{0,32}\|?)?\Z"
)
# A longer sentence is emitted in parts before it is complete.
MAX_SENTENCE_BYTES = 600


class SentenceBuffer:
    """Collects text and returns complete sentences.

    Sentence borders do not depend on how the text was chunked, except beyond `MAX_SENTENCE_BYTES`.
    """

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        return len(self._text)

    def push(self, text: str) -> list[str]:
        """Add text; returns the complete sentences, those followed by further text."""
        self._text += text
        open_mark = OPEN_MARK.search(self._text)
        settled = self._text if open_mark is None else self._text[: open_mark.start()]
        complete = split_sentences(settled)[:-1]
        self._text = self._text[len("".join(complete)) :]
        while len(self._text.encode("utf-8", "surrogatepass")) > MAX_SENTENCE_BYTES:
            first = split_to_length(self._text, MAX_SENTENCE_BYTES // 2)[0]
            complete.append(first)
            self._text = self._text[len(first) :]
        return _with_words(complete)

    def flush(self) -> list[str]:
        """Return the remaining sentences."""
        rest, self._text = split_sentences(self._text), ""
        return _with_words(rest)

    def clear(self) -> None:
        self._text = ""


def _with_words(sentences: list[str]) -> list[str]:
    """Strip the sentences and drop those without letters or digits."""
    return [sentence.strip() for sentence in sentences if any(character.isalnum() for character in sentence)]
