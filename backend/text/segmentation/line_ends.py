"""Line ends as punctuation: a line without a mark at its end is followed by a pause, a blank line by a sentence end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

# Lines that wrap run up to about this length; a shorter line ended where its writer wanted.
SHORTEST_WRAPPED_LINE = 45
SHORTEST_WIDTH = 55
LOOK_AHEAD_CHARS = 400
LIST_ITEM = re.compile(r"\s*(?:[-*+•–—‣◦]\s+|\(?\d{1,3}[.)]\s+|\(?[a-zA-Z][.)]\s+)")
LINE_END = re.compile(r"[^\S\n]*\n(\s*\n)?[^\S\n]*")
# Marks that already make a pause, with closing quotes and brackets behind them.
PAUSED = re.compile(r"[.,;:!?…—–。，、；：！？-][\"'”’»)\]]*\Z")
CLOSERS = "\"'”’»)]"
SPEAKABLE = re.compile(r"\w")


def mark_line_ends(text: str) -> str:
    """Returns the text with a comma or a period at every line end that has no mark of its own.

    A blank line, and the end of a list item, ends a sentence; any other line end is a clause. A long line that goes on
    in small letters on the next one was only wrapped, and so was every line of a paragraph that fills its lines.
    """
    pieces: list[str] = []
    start = 0
    for line, end, rest, is_filled in _line_ends(text):
        mark = _mark(line, rest, end[1] is not None, is_filled)
        pieces += [_with_mark(line, mark), end[0]]
        start = end.end()
    return "".join([*pieces, text[start:]])


def unwrapped(text: str) -> str:
    """Returns the text of one paragraph with spaces for the line ends of wrapped lines and of finished clauses."""
    pieces: list[str] = []
    start = 0
    for line, end, rest, is_filled in _line_ends(text):
        is_item = bool(LIST_ITEM.match(line) or LIST_ITEM.match(rest))
        pieces += [line, "\n" if is_item or end[1] or _mark(line, rest, False, is_filled) else " "]
        start = end.end()
    return "".join([*pieces, text[start:]])


def _line_ends(text: str) -> Iterator[tuple[str, re.Match[str], str, bool]]:
    """Yields each line, its end, the beginning of what follows, and whether it belongs to a filled paragraph."""
    ends = list(LINE_END.finditer(text))
    starts = [0, *(end.end() for end in ends)]
    first = 0
    while first < len(ends):
        last = first
        while last < len(ends) and ends[last][1] is None:
            last += 1
        # Lines `first` to `last` are one paragraph; the last one may end the text.
        lines = [text[starts[k] : ends[k].start() if k < len(ends) else len(text)] for k in range(first, last + 1)]
        is_filled = _is_filled(lines)
        for k in range(first, min(last + 1, len(ends))):
            rest = text[ends[k].end() : ends[k].end() + LOOK_AHEAD_CHARS]
            yield lines[k - first], ends[k], rest, is_filled and k < last
        first = last + 1


def _is_filled(lines: list[str]) -> bool:
    """Whether a paragraph was wrapped at a width: no line had room for the first word of the next one."""
    width = max(map(len, lines))
    if len(lines) < 3 or width < SHORTEST_WIDTH:
        return False
    pairs = pairwise(lines)
    return all(len(line) + 1 + len(following.split(" ", 1)[0]) > width for line, following in pairs)


def _mark(line: str, rest: str, is_blank: bool, is_filled: bool) -> str:
    """The mark that is missing at the end of `line`, which `rest` follows: "." or "," or nothing."""
    if not SPEAKABLE.search(line) or not SPEAKABLE.search(rest):
        return ""
    if is_blank:
        return "" if re.search(r"[.!?…。！？][\"'”’»)\]]*\Z", line) else "."
    if PAUSED.search(line):
        return ""
    if LIST_ITEM.match(rest) or LIST_ITEM.match(line):
        return "."
    is_wrapped = is_filled or (len(line) >= SHORTEST_WRAPPED_LINE and rest[:1].islower())
    return "" if is_wrapped else ","


def _with_mark(line: str, mark: str) -> str:
    if not mark:
        return line
    body = line.rstrip(CLOSERS) if mark == "." else line
    if mark == "." and body.endswith((",", ";", ":")):
        body = body[:-1]
    return body + mark + line[len(line.rstrip(CLOSERS)) :] if mark == "." else line + mark
