"""English grapheme-to-phoneme conversion for the built-in voice.

The symbols are those of misaki: one character per sound, capitals for diphthongs, marks for stress and length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from backend.errors import BadSettings
from backend.text.normalization.letter_case import normalize_emphasis
from backend.text.phonemes.heteronyms import mark_heteronyms

if TYPE_CHECKING:
    from hibari.g2p import G2P

# Silence before the first and after the last sound. No text maps to these.
BEGIN, END = "^", "$"
PUNCTUATION = " ;:,.!?—…“”()"
# Symbols of both accents. Checkpoints store ids by position: append new symbols at the end.
SOUNDS = "AIOQTWYabdfhijklmnpstuvwzæðŋɑɐɒɔəɛɜɡɪɹʃʊʌʒʤʧˈˌːθᵊᵻ"
SYMBOLS = (BEGIN, END, *PUNCTUATION, *SOUNDS)
ACCENTS = {"en-us": False, "en-gb": True}  # whether the accent is British

# Symbols that hibari emits for unknown words but the training data lacks, mapped to the nearest one.
NEAREST = str.maketrans({"y": "u", "ʀ": "ɹ", "ɾ": "T", "ʔ": "t", "ɚ": "əɹ", "g": "ɡ"})
NOT_SYMBOL = re.compile(f"[^{re.escape(PUNCTUATION + SOUNDS)}]")
# Time is cubic in the parts of a word: 64 parts take a tenth of a second, 1,000 take minutes.
PARTS = re.compile(r"[^\W\d_]+|\d+|[^\s]")
MAX_PARTS = 12
MAX_LETTERS = 60
# hibari fails on numbers of more than 36 digits, so long ones are read digit by digit.
ENDLESS_NUMBER = re.compile(r"\d(?:,?\d){32,}")
# "No." and "fig." not followed by a number are words, as in "He said no."
NOT_ABBREVIATION = re.compile(r"\b([Nn]o|[Ff]ig)\.(?! ?\d)")
GIVEN = re.compile(r"(\[[^\]]+\]\([^)]*\))")
ENDINGS = ("s", "d", "es", "ed", "ing")
GREEK = re.compile("[\u0370-\u03ff]")
ENDS_WITH_POINT = re.compile(r"\.[\"'”’)\]\s]*\Z")


class PhonemeReading(NamedTuple):
    """The symbols of a text, and the skipped parts: other scripts and pictograms."""

    symbols: str
    skipped: tuple[str, ...]


class EnglishPhonemizer:
    """Converts English text to symbols, including numbers, dates, money and abbreviations.

    `[word](/symbols/)` in a text gives the symbols of a word. Thread-safe. The dictionaries (about 0.5 s and 140 MB)
    are loaded on first use.
    """

    def __init__(self, language: str = "en-us") -> None:
        """Raises `BadSettings` for a language that is not one of `ACCENTS`."""
        if language not in ACCENTS:
            raise BadSettings(f"The language is '{language}'; expected {' or '.join(ACCENTS)}. Choose one.")
        self.language = language
        self._lock = Lock()
        self._g2p: G2P | None = None

    def __call__(self, text: str) -> str:
        """Return the symbols of a text, without unsupported characters."""
        return self.read(text).symbols

    def read(self, text: str) -> PhonemeReading:
        """Return the symbols of a text, all of them in `SYMBOLS`, and the skipped parts."""
        text = _change_words(unicodedata.normalize("NFC", text), _letters_named)
        kept, skipped = self._supported(text)
        with self._lock:
            g2p = self._load()
            plain = _change_words(kept, lambda words: _plain(g2p, words))
            plain = _change_words(plain, lambda words: mark_heteronyms(words, g2p.lexicon.golds))
            phonemes = g2p(_change_words(plain, _without_giants))
        symbols = NOT_SYMBOL.sub("", phonemes.translate(NEAREST))
        symbols = re.sub(r" +(?=[;:,.!?…)]|$)|(?<=[(]) +|^ +", "", re.sub(r" +", " ", symbols))
        # The period of "D.C." is dropped with its letters even at the end of a sentence; restore it.
        if symbols and symbols[-1] in SOUNDS and ENDS_WITH_POINT.search(text):
            symbols += "."
        return PhonemeReading(symbols, skipped)

    def _supported(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Replace characters without an English reading with spaces; also returns the replaced parts."""
        is_kept = [character.isascii() or _is_supported(self, character) for character in text]
        kept = "".join(character if keep else " " for character, keep in zip(text, is_kept, strict=True))
        lost = "".join("\0" if keep and not character.isspace() else character
                       for character, keep in zip(text, is_kept, strict=True))  # fmt: skip
        return kept, tuple(piece.strip() for piece in lost.split("\0") if piece.strip())

    def _load(self) -> G2P:
        if self._g2p is None:
            # Imported late: servers with another model never load these dictionaries.
            from hibari.g2p import G2P

            self._g2p = G2P(british=ACCENTS[self.language])
        return self._g2p

    def has_reading(self, character: str) -> bool:
        """Whether a single character has a reading."""
        with self._lock:
            return bool(self._load()(character).strip())


@lru_cache(maxsize=4096)
def _is_supported(phonemizer: EnglishPhonemizer, character: str) -> bool:
    """Whether a non-ASCII character has a reading or can be skipped silently."""
    category = unicodedata.category(character)
    if category[0] == "L":
        name = unicodedata.name(character, "")
        # Single Greek letters in formulas have names. Other scripts would be spelled as gibberish.
        return name.startswith(("LATIN", "FULLWIDTH LATIN", "MODIFIER", "FEMININE", "MASCULINE", "MICRO")) or (
            name.startswith("GREEK") and phonemizer.has_reading(character)
        )
    if category[0] in "ZP" or category in ("Cc", "Cf", "Sc"):
        # Spaces, punctuation, invisible characters, and currency signs, which are read with their amounts.
        return True
    if category[0] == "M":
        # NFC has composed the marks of Latin letters already; the others belong to other scripts.
        return False
    return phonemizer.has_reading(character)


def _change_words(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the text outside of explicit pronunciations."""
    pieces = GIVEN.split(text)
    return "".join(piece if index % 2 else change(piece) for index, piece in enumerate(pieces))


def _plain(g2p: G2P, words: str) -> str:
    return NOT_ABBREVIATION.sub(r"\1 .", normalize_emphasis(words, lambda word: _has_word(g2p, word)))


def _letters_named(text: str) -> str:
    """Replace Greek letters with their full names, which hibari shortens."""
    return GREEK.sub(lambda letter: _greek_name(letter[0], text, letter.start()), text)


def _greek_name(letter: str, text: str, place: int) -> str:
    name = unicodedata.name(letter, "")
    if not re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?[A-Z]+", name):
        return letter
    word = name.split()[-1].lower().replace("lamda", "lambda")
    before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    return (" " if before.isalnum() else "") + word + (" " if after.isalnum() else "")


def _has_word(g2p: G2P, word: str) -> bool:
    """Whether a lower-case word or its stem is in the dictionary."""
    golds = g2p.lexicon.golds
    return word in golds or any(word.endswith(end) and word[: -len(end)] in golds for end in ENDINGS)


def _without_giants(text: str) -> str:
    """Insert spaces into overlong words and numbers, to bound the running time."""
    text = ENDLESS_NUMBER.sub(lambda number: " ".join(number[0].replace(",", "")), text)
    return re.sub(r"\S+", lambda word: _split_word(word[0]), text)


def _split_word(word: str) -> str:
    if len(word) <= MAX_PARTS:
        return word
    parts = [piece for part in PARTS.findall(word) for piece in _cut(part)]
    if len(parts) <= MAX_PARTS:
        return word if len(word) <= MAX_LETTERS else " ".join(parts)
    return " ".join("".join(parts[i : i + MAX_PARTS]) for i in range(0, len(parts), MAX_PARTS))


def _cut(part: str) -> list[str]:
    return [part[i : i + MAX_LETTERS] for i in range(0, len(part), MAX_LETTERS)]
