"""Sentence and length splitting. The joined pieces are always the original text."""

from __future__ import annotations

import re
from collections.abc import Iterator

CLOSERS = re.escape("\"'”’»)]}」』）】")
# Every repeat is bounded or guarded by a lookbehind, so that no input takes quadratic time.
SENTENCE_END = re.compile(rf"(?:(?<![.!?…])[.!?…]+[{CLOSERS}]*(?=\s|$)|[。！？｡]+[{CLOSERS}]*|\n[^\S\n]*\n)\s*")
CLAUSE_END = re.compile(r"(?:[,;:—–](?=\s|$)|[，；：、])\s*")
WORD_END = re.compile(r"\s+")
# From coarse to fine: a finer level is used only for pieces that are too long.
LEVELS = (SENTENCE_END, CLAUSE_END, WORD_END)

# Never split: phonemes, control and speaker tags, markers, numbers, names with periods.
ATOM = re.compile(
    r"<\|phoneme_start\|>(?:(?!<\|phoneme_)[\s\S]){0,400}<\|phoneme_end\|>|<\|[^|<>\s]{1,32}\|>"
    r"|\[[^\[\]\n]{1,64}\]|\([a-z ]{1,32}\)"
    r"|(?<!\d)\d{1,40}(?:[.,:]\d{1,40})+|(?<![\w.-])[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}"
)
TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Gen|Col|Capt|Lt|Sgt|Rev|Hon|vs|e\.g|i\.e|(?:[A-Z]\.)*[A-Z])\.\Z")
MAYBE_LAST = re.compile(
    r"\b(?:etc|approx|dept|est|fig|no|vol|pp|Jr|Sr|Inc|Ltd|Co|Corp|Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|sq|ft|lbs?|oz"
    r"|(?:[a-z]\.)+[a-z])\.\Z",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences, each with the white space after it."""
    return list(_cut(text, SENTENCE_END))


def split_to_length(text: str, max_bytes: int) -> list[str]:
    """Split a text into pieces of at most `max_bytes` of UTF-8, at sentence ends where possible.

    White space at the end of a piece is not counted. A sentence that is too long is split at clauses, then between
    words, then inside a word, but never inside a character, marker, number or phoneme pair: those may be longer.
    """
    pieces: list[str] = []
    n_bytes = 0
    for piece in _fitting(text, max_bytes, LEVELS):
        if pieces and n_bytes + _size(piece.rstrip()) <= max_bytes:
            pieces[-1] += piece
        else:
            pieces.append(piece)
            n_bytes = 0
        n_bytes += _size(piece)
    return pieces


def _fitting(text: str, max_bytes: int, levels: tuple[re.Pattern[str], ...]) -> Iterator[str]:
    if _size(text.rstrip()) <= max_bytes:
        if text:
            yield text
    elif levels:
        for piece in _cut(text, levels[0]):
            yield from _fitting(piece, max_bytes, levels[1:])
    else:
        yield from _hard_cut(text, max_bytes)


def _cut(text: str, ends: re.Pattern[str]) -> Iterator[str]:
    atoms = [match.span() for match in ATOM.finditer(text)]
    start, index = 0, 0
    for end in ends.finditer(text):
        mark = end.start() + len(end[0].rstrip())
        while index < len(atoms) and atoms[index][1] <= mark:
            index += 1
        is_inside_atom = index < len(atoms) and atoms[index][0] < mark
        if is_inside_atom or (ends is SENTENCE_END and _is_abbreviation(text, mark, end.end())):
            continue
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def _is_abbreviation(text: str, mark: int, after: int) -> bool:
    before = text[max(mark - 16, 0) : mark]
    if TITLE.search(before):
        return True
    # "etc." ends a sentence unless a lower-case word follows.
    return bool(MAYBE_LAST.search(before)) and text[after : after + 1].islower()


def _hard_cut(text: str, max_bytes: int) -> Iterator[str]:
    atoms = {match.start(): match.end() for match in ATOM.finditer(text)}
    start = position = n_bytes = 0
    while position < len(text):
        unit = text[position : atoms.get(position, position + 1)]
        size = _size(unit)
        if n_bytes and n_bytes + size > max_bytes:
            yield text[start:position]
            start, n_bytes = position, 0
        position, n_bytes = position + len(unit), n_bytes + size
    if start < len(text):
        yield text[start:]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
