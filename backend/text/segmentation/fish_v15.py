"""Text cleaning and splitting as in fish-speech 1.x, for 1.x checkpoints.

All other checkpoints use `sentences.py` and the normalization package. Oddities are kept for identical prompts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator

CURLY_APOSTROPHES = str.maketrans("‘’", "''")
EMOJI = re.compile("[\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]+")
COMMAS = re.compile(r",{2,}")
# Only the first point between digits is protected: 1.2.3 may be cut at the second one.
# The lookbehind finds the same numbers; without it a long run of digits takes quadratic time.
POINT = re.compile(r"(?<!\d)(\d+)\.(\d+)")
GUARDED_POINT = re.compile(r"<(\d+)_f_(\d+)>")
SENTENCE_ENDS, COMMA_MARKS, SPACES = frozenset(".!?。！？"), frozenset(",，"), frozenset(" ")
NOT_SPEECH = frozenset(string.punctuation + string.whitespace)


def clean_v15(text: str) -> str:
    """Strip white space, older emoji and repeated commas, and straighten curly apostrophes."""
    text = EMOJI.sub("", text.strip().translate(CURLY_APOSTROPHES))
    return COMMAS.sub(",", text)


def split_v15(text: str, max_bytes: int) -> list[str]:
    """Clean a text and split it into pieces of at most `max_bytes` of UTF-8, plus up to 3 at a character border.

    Pieces of only ASCII punctuation are dropped.
    """
    parts: Iterable[str] = [POINT.sub(r"<\1_f_\2>", clean_v15(text))]
    parts = [GUARDED_POINT.sub(r"\1.\2", part) for part in _cut_after(parts, max_bytes, SENTENCE_ENDS)]
    parts = _cut_after(parts, max_bytes, COMMA_MARKS)
    parts = _cut_after(parts, max_bytes, SPACES)
    pieces, current = [], ""
    for part in _cut_anywhere(parts, max_bytes):
        if _size(current) + _size(part) > max_bytes:
            pieces.append(current)
            current = ""
        current += part
    return [piece.strip() for piece in (*pieces, current) if not NOT_SPEECH.issuperset(piece.strip())]


def _cut_after(parts: Iterable[str], max_bytes: int, marks: frozenset[str]) -> Iterator[str]:
    for part in parts:
        if _size(part) <= max_bytes:
            yield part
            continue
        start = 0
        for position, character in enumerate(part, 1):
            if character in marks:
                yield part[start:position]
                start = position
        if start < len(part):
            yield part[start:]


def _cut_anywhere(parts: Iterable[str], max_bytes: int) -> Iterator[str]:
    for part in parts:
        if _size(part) <= max_bytes:
            yield part
            continue
        start = n_bytes = 0
        for position, character in enumerate(part, 1):
            n_bytes += _size(character)
            if n_bytes >= max_bytes:
                yield part[start:position]
                start, n_bytes = position, 0
        if start < len(part):
            yield part[start:]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
