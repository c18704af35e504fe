"""Line ends as punctuation: a line without a mark at its end is followed by a pause, a blank line by a sentence end."""

from __future__ import annotations

import re

# Lines that wrap run up to about this length; a shorter line ended where its writer wanted.
SHORTEST_WRAPPED_LINE = 45
LIST_ITEM = re.compile(r"\s*(?:[-*+•–—‣◦]\s+|\(?\d{1,3}[.)]\s+|\(?[a-zA-Z][.)]\s+)")
LINE_END = re.compile(r"[^\S\n]*\n(\s*\n)?[^\S\n]*")
# Marks that already make a pause, with closing quotes and brackets behind them.
PAUSED = re.compile(r"[.,;:!?…—–。，、；：！？-][\"'”’»)\]]*\Z")
CLOSERS = "\"'”’»)]"
SPEAKABLE = re.compile(r"\w")


def mark_line_ends(text: str) -> str:
    """Returns the text with a comma or a period at every line end that has no mark of its own.

    A blank line, and the end of a list item, ends a sentence; any other line end is a clause. A long line that goes on
    in small letters on the next one was only wrapped, and stays as it is.
    """
    pieces: list[str] = []
    start = 0
    for end in LINE_END.finditer(text):
        line, rest = text[start : end.start()], text[end.end() :]
        mark = _mark(line, rest, end[1] is not None)
        pieces += [_with_mark(line, mark), end[0]]
        start = end.end()
    return "".join([*pieces, text[start:]])


def _mark(line: str, rest: str, is_blank: bool) -> str:
    """The mark that is missing at the end of `line`, which `rest` follows: "." or "," or nothing."""
    if not SPEAKABLE.search(line) or not SPEAKABLE.search(rest[:400]):
        return ""
    if is_blank:
        return "" if re.search(r"[.!?…。！？][\"'”’»)\]]*\Z", line) else "."
    if PAUSED.search(line):
        return ""
    if LIST_ITEM.match(rest) or LIST_ITEM.match(line):
        return "."
    is_wrapped = len(line) >= SHORTEST_WRAPPED_LINE and rest[:1].islower()
    return "" if is_wrapped else ","


def _with_mark(line: str, mark: str) -> str:
    if not mark:
        return line
    body = line.rstrip(CLOSERS) if mark == "." else line
    if mark == "." and body.endswith((",", ";", ":")):
        body = body[:-1]
    return body + mark + line[len(line.rstrip(CLOSERS)) :] if mark == "." else line + mark
