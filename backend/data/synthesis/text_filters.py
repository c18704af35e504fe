"""Selects sentences for synthesis: cleaned, of a suitable length, and not held out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from backend.errors import BadSettings

WORDS = range(3, 31)
PLAIN = re.compile(r"[A-Za-z0-9 ,.;:?!'\"()$%&/-]+")
# Abbreviations whose period does not end a sentence.
TITLES = frozenset({"Mr", "Mrs", "Dr", "St", "Messrs", "Esq", "etc", "viz", "i.e", "e.g", "Capt", "Col", "Gen"})


def clean_sentence(text: str) -> str | None:
    """Returns the text as a sentence with capital and period, or None if it is too short, too long or has other
    characters.
    """
    text = " ".join(text.replace("_", "").replace("--", " - ").replace("`", "'").split()).strip(" -;:,")
    if not PLAIN.fullmatch(text) or len(text.split()) not in WORDS or text.count('"') % 2 or "(" in text:
        return None
    if not any(character.islower() for character in text) or len(max(text.split(), key=len)) > 20:
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!\"'" else text + "."


def split_sentences(paragraph: str) -> list[str]:
    """Splits running text into sentences; titles and initials do not end one."""
    sentences, start = [], 0
    for stop in re.finditer(r"[.!?][\"']?\s+(?=[\"'A-Z])", paragraph):
        word = re.split(r"[\s\"'(-]", paragraph[start : stop.start()])[-1]
        if paragraph[stop.start()] == "." and (word in TITLES or len(word) == 1):
            continue
        sentences.append(paragraph[start : stop.end()].strip())
        start = stop.end()
    return [*sentences, paragraph[start:].strip()]


def words_of(text: str) -> str:
    """Returns the letters and digits in lower case, for comparing sentences."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


class Excluded:
    """Held-out sentences, also found inside longer texts."""

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        self._words = {words for sentence in sentences if (words := words_of(sentence))}
        # Indexed by first word, to avoid comparing each text with every sentence.
        self._by_start: dict[str, list[str]] = {}
        for words in self._words:
            self._by_start.setdefault(words.split()[0], []).append(words)

    def covers(self, text: str) -> bool:
        words = words_of(text)
        return words in self._words or any(
            f" {kept} " in f" {words} " for word in set(words.split()) for kept in self._by_start.get(word, ())
        )


def read_excluded(files: Iterable[Path]) -> Excluded:
    """Reads the sentences of JSON files, each a list of texts or of objects with a `text`. Raises `BadSettings`."""
    return Excluded(text for file in files for text in read_texts_file(file))


def read_texts_file(file: Path) -> list[str]:
    """Reads the texts of a JSON file in the format of `read_excluded`."""
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
        return [item["text"] if isinstance(item, dict) else str(item) for item in items]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadSettings(
            f"'{file.name}' is not a list of sentences ({type(error).__name__}); expected a JSON list of texts."
        ) from error
