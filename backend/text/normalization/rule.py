"""A rule of the normalizer: a pattern, the words for what it matches, and examples that are tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """Replaces every match of `pattern` by `speak(match)`.

    `examples` are pairs of a text and the text as the whole normalizer reads it; a pair of equal texts is a
    counterexample, which looks like a match and is none.
    """

    name: str
    pattern: re.Pattern[str]
    speak: Callable[[re.Match[str]], str]
    examples: tuple[tuple[str, str], ...] = ()

    def apply(self, text: str) -> str:
        return self.pattern.sub(self.speak, text)


def rule(
    name: str, pattern: str, speak: Callable[[re.Match[str]], str] | str, *examples: tuple[str, str], ignore_case: bool = False,
    multiline: bool = False,
) -> Rule:  # fmt: skip
    """A `Rule` from a pattern as text; `speak` may be a fixed replacement."""
    flags = (re.IGNORECASE if ignore_case else 0) | (re.MULTILINE if multiline else 0)
    fixed = speak if isinstance(speak, str) else None
    return Rule(name, re.compile(pattern, flags), (lambda match: fixed) if fixed is not None else speak, examples)  # type: ignore[arg-type]


NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,20})?|\d{1,40}(?:\.\d{1,20})?"
NO_DIGIT_BEFORE, NO_DIGIT_AFTER = r"(?<![\w.,])", r"(?![\d]|[.,]\d)"


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether the period at the end of an abbreviation also ends the sentence."""
    after = match.string[match.end() : match.end() + 3]
    # "5 p.m. EST" continues.
    begins = after[1:2].isupper() and not after[2:].isupper()
    return match[0].endswith(".") and (not after.strip() or after[0] == "\n" or begins)


def set_apart(match: re.Match[str], words: str) -> str:
    """`words` with spaces where the match touches letters or digits."""
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    return (" " if before.isalnum() else "") + words + (" " if after.isalnum() else "")


def alternatives(words: Iterable[str]) -> str:
    """A pattern of any of `words`, longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
