"""The text of one block while it is read: line ends, raised and lowered digits, note marks, pictures with a text."""

from __future__ import annotations

import re

from backend.text.documents.document import plain_space

RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
LOWERED = str.maketrans("0123456789+-−", "₀₁₂₃₄₅₆₇₈₉₊₋₋")
FIGURES = re.compile(r"\s*[+\-−]?(?:\d{1,5}|n)[+\-−]?\s*")
RAISED_DIGITS = "⁰¹²³⁴-⁹"
# A raised number after a mark or a longer word is a note mark; after a figure, a sign or a short word it is a power.
NOTE_NUMBER = re.compile(
    rf"(?:(?<=[.!?…,;:\"”’»])|(?<=[^\W\d_]{{5}}))[{RAISED_DIGITS}]{{1,3}}"
    rf"(?:[,–⁻][{RAISED_DIGITS}]{{1,3}})*(?![\w{RAISED_DIGITS}])"
)
NOTE_MARK = re.compile(
    rf"[{RAISED_DIGITS}]{{1,4}}|[\[({{]\s?(?:\d{{1,4}}|[a-z]|[ivxlc]{{1,6}}|\*{{1,3}}|[†‡§])\s?[\])}}]|[*†‡§¶]{{1,3}}"
    "|[↩↑⏎^⤴↵←]\ufe0e?"
)
RAISED_MARK = re.compile(r"[\[(]?[\w*†‡§]{1,4}[\])]?")
# A word in the place of a picture stays in its line; a longer text of a picture is read only inside a sentence.
MAX_JOINED_CHARS, MAX_PICTURE_CHARS = 12, 80
PICTURE = re.compile("\ue000([^\ue000\ue001]*)\ue001")
FILE_NAME = re.compile(r"\.(?:jpe?g|png|gif|svg|webp)\Z|\A(?:cover|image|img|picture|figure|logo|ornament)\b", re.I)


class InlineText:
    """Collects the text of a block."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    @property
    def n_parts(self) -> int:
        return len(self._parts)

    def add(self, text: str) -> None:
        self._parts.append(text)

    def raise_digits(self, first: int, by_sign: bool) -> None:
        """Write figures of the parts from `first` on as superscripts, or as subscripts unless `by_sign`."""
        text = "".join(self._parts[first:])
        if FIGURES.fullmatch(text):
            self._parts[first:] = [text.strip().translate(RAISED if by_sign else LOWERED)]

    def is_note_mark(self, first: int, is_raised: bool) -> bool:
        """Whether the parts from `first` on are a note mark; `is_raised` for a link in or around a superscript."""
        text = "".join(self._parts[first:]).strip()
        return bool(NOTE_MARK.fullmatch(text) or (is_raised and RAISED_MARK.fullmatch(text)))

    def cut(self, first: int) -> None:
        """Remove the parts from `first` on."""
        del self._parts[first:]

    def join_drop_cap(self, first: int) -> None:
        """Remove the white space around the parts from `first` on; the next part continues the word."""
        text = "".join(self._parts[first:]).strip()
        self._parts[first:] = [f"{text}\ue002"] if len(text) == 1 and text not in "AIOaio" else [text]

    def picture(self, text: str) -> None:
        self._parts.append("\ue000" + re.sub("[\ue000-\ue002]", "", text.strip()) + "\ue001")

    def is_empty(self) -> bool:
        return not any(part.strip() for part in self._parts)

    def finish(self) -> tuple[str, int]:
        """Return the text with line ends as new lines, and the number of pictures left out; starts the next block."""
        text = "".join(self._parts)
        self._parts = []
        n_left_out = 0
        if "\ue000" in text:
            text, n_left_out = _with_pictures(text)
        text = re.sub("\ue002\\s*", "", text)
        lines = (plain_space(line) for line in text.split("\ue003"))
        return NOTE_NUMBER.sub("", "\n".join(line for line in lines if line)), n_left_out

    def line_end(self) -> None:
        self._parts.append("\ue003")


def _with_pictures(text: str) -> tuple[str, int]:
    """Replace the pictures by their texts where these belong to the sentence; count the others."""
    pieces = PICTURE.split(text)
    n_left_out = 0
    for place in range(1, len(pieces), 2):
        alt, before, after = pieces[place], pieces[place - 1][-1:], pieces[place + 1][:1]
        is_word = 0 < len(alt) <= MAX_JOINED_CHARS and not FILE_NAME.search(alt)
        if is_word and (before.isalnum() or after.isalnum()):
            continue
        is_inside = pieces[place - 1].strip() and pieces[place + 1].strip()
        if alt and is_inside and len(alt) <= MAX_PICTURE_CHARS and not FILE_NAME.search(alt):
            pieces[place] = f" {alt} "
        else:
            pieces[place] = " "
            n_left_out += 1
    return "".join(pieces), n_left_out
