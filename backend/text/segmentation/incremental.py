"""Text that arrives piece by piece, cut into sentences as soon as each is known to be complete."""

from __future__ import annotations

import re

from backend.text.segmentation.sentences import split_sentences, split_to_length

# What may stand open at the end of the text so far: its closing part may come, and no cut may fall inside.
OPEN_MARK = re.compile(
    r"\[[^\[\]\n]{0,64}\Z|<\|phoneme_start\|>(?:(?!<\|phoneme_end\|>)[\s\S]){0,400}\Z|<(?:\|[^|<>\s]{0,32}\|?)?\Z"
)
# A sentence longer than this is spoken in parts rather than waited for.
MAX_SENTENCE_BYTES = 600


class SentenceBuffer:
    """Collects text and gives sentences. Where sentences end does not depend on how the text was cut on its way,
    unless one is longer than `MAX_SENTENCE_BYTES`."""

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        return len(self._text)

    def push(self, text: str) -> list[str]:
        """More text; returns the sentences that are complete: something else has begun after them."""
        self._text += text
        open_mark = OPEN_MARK.search(self._text)
        settled = self._text if open_mark is None else self._text[: open_mark.start()]
        complete = split_sentences(settled)[:-1]
        self._text = self._text[len("".join(complete)) :]
        while len(self._text.encode("utf-8", "surrogatepass")) > MAX_SENTENCE_BYTES:
            first = split_to_length(self._text, MAX_SENTENCE_BYTES // 2)[0]
            complete.append(first)
            self._text = self._text[len(first) :]
        return _spoken(complete)

    def flush(self) -> list[str]:
        """Everything that is left."""
        rest, self._text = split_sentences(self._text), ""
        return _spoken(rest)

    def clear(self) -> None:
        self._text = ""


def _spoken(sentences: list[str]) -> list[str]:
    """Without white space around them, and without those that hold nothing to say."""
    return [sentence.strip() for sentence in sentences if any(character.isalnum() for character in sentence)]
