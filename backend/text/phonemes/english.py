"""English as phoneme symbols: what the built-in voice reads.

The symbols are those of misaki: one character a sound, capitals for diphthongs, marks for stress and length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from backend.errors import BadSettings
from backend.text.normalization.letter_case import plainly_written

if TYPE_CHECKING:
    from hibari.g2p import G2P

# The silence before the first sound and after the last one. No text turns into these.
BEGIN, END = "^", "$"
PUNCTUATION = " ;:,.!?—…“”()"
# Both accents. Checkpoints keep ids by place in this list: new symbols go to the end.
SOUNDS = "AIOQTWYabdfhijklmnpstuvwzæðŋɑɐɒɔəɛɜɡɪɹʃʊʌʒʤʧˈˌːθᵊᵻ"
SYMBOLS = (BEGIN, END, *PUNCTUATION, *SOUNDS)
ACCENTS = {"en-us": False, "en-gb": True}  # is it the British one

# Sounds of the reader for unknown words that no recording of ours has, as the nearest that one has.
NEAREST = str.maketrans({"y": "u", "ʀ": "ɹ", "ɾ": "T", "ʔ": "t", "ɚ": "əɹ", "g": "ɡ"})
NOT_SYMBOL = re.compile(f"[^{re.escape(PUNCTUATION + SOUNDS)}]")
# Time grows with the cube of the parts of a word: 64 parts take a tenth of a second, 1,000 take minutes.
PARTS = re.compile(r"[^\W\d_]+|\d+|[^\s]")
MAX_PARTS = 12
MAX_LETTERS = 60
# There are names for numbers up to 36 digits; the reader fails at longer ones, which nobody says as a number anyway.
ENDLESS_NUMBER = re.compile(r"\d(?:,?\d){32,}")
# "He said no." is no number, and what was eaten no figure.
NO_ABBREVIATION = re.compile(r"\b([Nn]o|[Ff]ig)\.(?! ?\d)")
GIVEN = re.compile(r"(\[[^\]]+\]\([^)]*\))")
ENDINGS = ("s", "d", "es", "ed", "ing")
GREEK = re.compile("[\u0370-\u03ff]")
ENDS_WITH_POINT = re.compile(r"\.[\"'”’)\]\s]*\Z")


class PhonemeReading(NamedTuple):
    """The symbols of a text, and the stretches of it that nothing was said for: other scripts, pictograms."""

    symbols: str
    skipped: tuple[str, ...]


class EnglishPhonemizer:
    """Written English to symbols, with numbers, dates, money and abbreviations spoken out.

    `[word](/symbols/)` in a text gives the symbols of a word. May be shared by threads. The dictionaries (about
    0.5 s and 140 MB) are read on first use.
    """

    def __init__(self, language: str = "en-us") -> None:
        """Raises `BadSettings` for a language that is not one of `ACCENTS`."""
        if language not in ACCENTS:
            raise BadSettings(f"The language is '{language}'; texts are read as {' or '.join(ACCENTS)}. Choose one.")
        self.language = language
        self._lock = Lock()
        self._reader: G2P | None = None

    def __call__(self, text: str) -> str:
        """The symbols of a text; what cannot be spoken is left out."""
        return self.read(text).symbols

    def read(self, text: str) -> PhonemeReading:
        """The symbols of a text, all of them in `SYMBOLS`, and what was left out."""
        text = _written(unicodedata.normalize("NFC", text), _letters_named)
        kept, skipped = self._speakable(text)
        with self._lock:
            reader = self._load()
            plain = _written(kept, lambda words: _plain(reader, words))
            spoken = reader(_without_giants(plain))
        symbols = NOT_SYMBOL.sub("", spoken.translate(NEAREST))
        symbols = re.sub(r" +(?=[;:,.!?…)]|$)|(?<=[(]) +|^ +", "", re.sub(r" +", " ", symbols))
        # The point of "D.C." goes with its letters, also where it ends the sentence.
        if symbols and symbols[-1] in SOUNDS and ENDS_WITH_POINT.search(text):
            symbols += "."
        return PhonemeReading(symbols, skipped)

    def _speakable(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The text with spaces in place of what has no English reading, and those stretches."""
        is_said = [character.isascii() or _is_said(self, character) for character in text]
        kept = "".join(character if said else " " for character, said in zip(text, is_said, strict=True))
        lost = "".join("\0" if said and not character.isspace() else character
                       for character, said in zip(text, is_said, strict=True))  # fmt: skip
        return kept, tuple(piece.strip() for piece in lost.split("\0") if piece.strip())

    def _load(self) -> G2P:
        if self._reader is None:
            # Here, not on top: a server that speaks with another voice never reads these dictionaries.
            from hibari.g2p import G2P

            self._reader = G2P(british=ACCENTS[self.language])
        return self._reader

    def says(self, character: str) -> bool:
        """Whether one character alone is read as anything at all."""
        with self._lock:
            return bool(self._load()(character).strip())


@lru_cache(maxsize=4096)
def _is_said(phonemizer: EnglishPhonemizer, character: str) -> bool:
    """Whether a character beyond ASCII has a reading or may be passed over in silence."""
    category = unicodedata.category(character)
    if category[0] == "L":
        name = unicodedata.name(character, "")
        # Greek letters stand in formulas: single ones have names. Other scripts would be spelled as gibberish.
        return name.startswith(("LATIN", "FULLWIDTH LATIN", "MODIFIER", "FEMININE", "MASCULINE", "MICRO")) or (
            name.startswith("GREEK") and phonemizer.says(character)
        )
    if category[0] in "ZP" or category in ("Cc", "Cf", "Sc"):
        # Spaces, punctuation, invisible marks, and currency signs, which are read with their amounts.
        return True
    if category[0] == "M":
        # A mark follows its letter: one that belongs to Latin was joined to it before.
        return False
    return phonemizer.says(character)


def _written(text: str, change: Callable[[str], str]) -> str:
    """The text with its words changed, but not where symbols are given."""
    pieces = GIVEN.split(text)
    return "".join(piece if index % 2 else change(piece) for index, piece in enumerate(pieces))


def _plain(reader: G2P, words: str) -> str:
    return NO_ABBREVIATION.sub(r"\1 .", plainly_written(words, lambda word: _has_word(reader, word)))


def _letters_named(text: str) -> str:
    """Greek letters as their names, which the reader would cut short."""
    return GREEK.sub(lambda letter: _greek_name(letter[0], text, letter.start()), text)


def _greek_name(letter: str, text: str, place: int) -> str:
    name = unicodedata.name(letter, "")
    if not re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?[A-Z]+", name):
        return letter
    word = name.split()[-1].lower().replace("lamda", "lambda")
    before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    return (" " if before.isalnum() else "") + word + (" " if after.isalnum() else "")


def _has_word(reader: G2P, word: str) -> bool:
    """Whether a word in small letters is in the dictionary, or a form of one that is."""
    golds = reader.lexicon.golds
    return word in golds or any(word.endswith(end) and word[: -len(end)] in golds for end in ENDINGS)


def _without_giants(text: str) -> str:
    """Spaces inside words of more parts than any real one has, and between the digits of endless numbers."""
    text = ENDLESS_NUMBER.sub(lambda number: " ".join(number[0].replace(",", "")), text)
    return re.sub(r"\S+", lambda word: _parted(word[0]), text)


def _parted(word: str) -> str:
    if len(word) <= MAX_PARTS:
        return word
    parts = [piece for part in PARTS.findall(word) for piece in _cut(part)]
    if len(parts) <= MAX_PARTS:
        return word if len(word) <= MAX_LETTERS else " ".join(parts)
    return " ".join("".join(parts[i : i + MAX_PARTS]) for i in range(0, len(parts), MAX_PARTS))


def _cut(part: str) -> list[str]:
    return [part[i : i + MAX_LETTERS] for i in range(0, len(part), MAX_LETTERS)]
