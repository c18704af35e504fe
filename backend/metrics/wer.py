"""Word and character error rates of a transcript."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from backend.errors import ScoreUnavailable

# fmt: off
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
SPELLINGS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "ok": "okay", "&": "and", "%": "percent"}


class ErrorRate(NamedTuple):
    """`rate` is edits over `n_reference` words or characters; it can exceed 1."""

    rate: float
    n_edits: int
    n_reference: int


def word_error_rate(reference: str, transcript: str) -> ErrorRate:
    """Returns the WER after `normalize`. Raises `ScoreUnavailable` for a reference without words."""
    return _rate(normalize(reference).split(), normalize(transcript).split())


def character_error_rate(reference: str, transcript: str) -> ErrorRate:
    """Returns the CER; word boundaries do not count, so "mail box" equals "mailbox"."""
    return _rate(normalize(reference).replace(" ", ""), normalize(transcript).replace(" ", ""))


def normalize(text: str) -> str:
    """Returns lower-case words without punctuation; English whole numbers up to 9999 and some abbreviations are spelled
    out.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\d+", lambda match: f" {_spelled(match[0])} ", text)
    text = re.sub(r"([&%])", r" \1 ", text)
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*|[&%]", text)
    return " ".join(SPELLINGS.get(word, word) for word in words)


def edit_distance(reference: Sequence[str], other: Sequence[str]) -> int:
    """Returns the minimal number of insertions, deletions and substitutions."""
    row = list(range(len(other) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]


def _rate(reference: Sequence[str], transcript: Sequence[str]) -> ErrorRate:
    if not reference:
        raise ScoreUnavailable("The reference transcript has no words. Pass the spoken text.")
    n_edits = edit_distance(reference, transcript)
    return ErrorRate(n_edits / len(reference), n_edits, len(reference))


def _spelled(digits: str) -> str:
    """Spells digits as a number up to 9999, otherwise digit by digit."""
    if len(digits) > 4 or (digits.startswith("0") and len(digits) > 1):
        return " ".join(ONES[int(digit)] for digit in digits)
    number = int(digits)
    words = []
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            words += [ONES[number // size], name]
            number %= size
    if number >= 20:
        words.append(TENS[number // 10])
        number %= 10
        words += [ONES[number]] if number else []
    elif number or not words:
        words.append(ONES[number])
    return " ".join(words)
