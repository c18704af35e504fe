"""Pronunciation lexicon: a text file of words with respellings or pronunciations.

A line is `word = respelling` or `word = /pronunciation/`, followed by the alphabet if it is not IPA. `#` starts a
comment. A lower-case word matches any casing; one with a capital matches exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from backend.errors import BadText, LimitExceeded
from backend.text.markup.speech_script import PlainText, Pronunciation
from backend.text.phonemes.alphabets import ALPHABETS, convert

MAX_ENTRIES = 10_000
MAX_BYTES = 2_000_000
MAX_WORDS = 6
WORD = re.compile(r"\w+(?:['’.-]\w+)*")
PRONOUNCED = re.compile(r"/([^/]+)/\s*([a-z]*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """Replacement of a word: `respelling`, or `phonemes` in `alphabet`."""

    respelling: str = ""
    phonemes: str = ""
    alphabet: str = "ipa"


class Lexicon:
    """Maps phrases of up to six words to replacements; the longest match wins, exact casing before any casing."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries
        self._n_words = max((len(_words(key)) for key in entries), default=0)
        self._keys = {tuple(_words(key)): entry for key, entry in entries.items()}

    @classmethod
    def parse(cls, lines: Iterable[str], name: str = "The lexicon") -> Lexicon:
        """Parse a lexicon. Raises `BadText` naming the invalid line."""
        entries: dict[str, Entry] = {}
        for number, line in enumerate(lines, 1):
            content = line.partition("#")[0].strip()
            if not content:
                continue
            if len(entries) >= MAX_ENTRIES:
                raise LimitExceeded(f"{name} has more than {MAX_ENTRIES} entries. Keep those that are needed.")
            word, equals, value = (part.strip() for part in content.partition("="))
            where = f"{name}, line {number}"
            if not equals or not word or not value:
                raise BadText(f"{where}: '{content[:60]}' is not 'word = respelling' or 'word = /sounds/'. Correct it.")
            if not 0 < len(_words(word)) <= MAX_WORDS or WORD.sub("", word).strip():
                raise BadText(f"{where}: '{word[:60]}' is not one to {MAX_WORDS} words. Write words and spaces only.")
            key = " ".join(_words(word))
            if key in entries:
                raise BadText(f"{where}: '{word}' is a duplicate entry. Remove one of the two.")
            entries[key] = _entry(value, where)
        return cls(entries)

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """Read a lexicon file in UTF-8. Raises `BadText` and `LimitExceeded`."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise LimitExceeded(f"{path.name} is larger than {MAX_BYTES} bytes. Keep the entries that are needed.")
            content = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadText(f"{path.name} cannot be read as UTF-8 text ({type(error).__name__}). Check it.") from error
        return cls.parse(content.splitlines(), path.name)

    def apply(self, text: str) -> list[PlainText | Pronunciation]:
        """Replace known words in a text; the joined words of the spans are the text with respellings."""
        spans: list[PlainText | Pronunciation] = []
        words = list(WORD.finditer(text)) if self._n_words else []
        position = index = 0
        while index < len(words):
            n_words, entry = self._longest(text, words, index)
            if entry is None:
                index += 1
                continue
            start, end = words[index].start(), words[index + n_words - 1].end()
            spans.append(PlainText(text[position:start]))
            if entry.phonemes:
                spans.append(Pronunciation(text[start:end], entry.phonemes, entry.alphabet))
            else:
                spans.append(PlainText(entry.respelling))
            position, index = end, index + n_words
        spans.append(PlainText(text[position:]))
        return [span for span in spans if not isinstance(span, PlainText) or span.text]

    def _longest(self, text: str, words: list[re.Match[str]], index: int) -> tuple[int, Entry | None]:
        for n_words in range(min(self._n_words, len(words) - index), 0, -1):
            run = words[index : index + n_words]
            # Only white space may separate the words of one entry.
            if any(text[a.end() : b.start()].strip() for a, b in pairwise(run)):
                continue
            exact = tuple(word[0] for word in run)
            entry = self._keys.get(exact) or self._keys.get(tuple(word.lower() for word in exact))
            if entry is not None:
                return n_words, entry
        return 1, None


def _words(text: str) -> list[str]:
    return WORD.findall(text)


def _entry(value: str, where: str) -> Entry:
    if not value.startswith("/"):
        return Entry(respelling=value)
    match = PRONOUNCED.fullmatch(value)
    if not match:
        raise BadText(f"{where}: '{value[:60]}' is not a pronunciation. Write it between two slashes.")
    alphabet = match[2] or "ipa"
    if alphabet not in ALPHABETS:
        raise BadText(f"{where}: the alphabet is '{alphabet}'; expected one of {', '.join(ALPHABETS)}. Correct it.")
    try:
        convert(match[1], alphabet, "s1")
    except BadText as error:
        raise BadText(f"{where}: {error}") from error
    return Entry(phonemes=match[1].strip(), alphabet=alphabet)
