"""Normalization of emphatic spellings: words in CAPITALS, looong words, sounds such as shh."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

# The phonemizer spells many of these when capitalized ("You CAN do it"). Not included: IT, US, AM, WHO and others
# that are read as letters at least as often.
COMMON_WORDS = frozenset({
    "ah", "and", "are", "as", "at", "be", "been", "but", "by", "can", "did", "do", "for", "get", "go", "gone", "got",
    "had", "has", "have", "he", "her", "hi", "him", "his", "hm", "hmm", "how", "if", "in", "is", "make", "must", "my", "no", "not",
    "of", "oh", "on", "or", "our", "put", "said", "she", "sir", "so", "some", "that", "the", "them", "they", "this",
    "to", "up", "was", "we", "went", "were", "what", "when", "why", "will", "with", "you", "your",
})  # fmt: skip
# Dictionary words that are read as letters when capitalized.
LETTERS = frozenset({"ad", "id", "ok", "pa", "pm", "cia", "led"})
# Sounds without vowels, which would otherwise be spelled.
SOUNDS = {"shh": "shush", "brr": "burr", "grr": "gurr", "zzz": "zuzz", "tsk": "tisk", "hmph": "humf"}

SENTENCE = re.compile(r"[^.!?\n]+")
# Not next to a symbol that makes it part of a name, nor after the comma before a state.
CAPITALS = re.compile(
    r"(?<![\w&@#/'’.-])(?<!\w, )(?P<word>[A-Z]{2,}|I(?=['’]))(?P<tail>(?:['’][A-Z]{1,2})?)(?![\w&@#/'’-])(?!\.[A-Z])"
)
ROMAN = re.compile(r"[IVXLC]+")
NUMERAL_NEXT = re.compile(r" [IVXLC]+\b")
# Three or more of a letter inside a word; not `xxx` and `www`.
LENGTHENED = re.compile(
    r"(?<![\w.@/])(?=[A-Za-z]{4,40}(?![\w.@/]\w))[A-Za-z]*?([A-Za-z])\1{2,}[A-Za-z]*", re.IGNORECASE
)
RUN = re.compile(r"([A-Za-z])\1{2,}", re.IGNORECASE)
MAX_RUNS = 4
SOUND = re.compile(r"(?<![\w.'’-])(sh{2,}|br{2,}|gr{2,}|z{3,}|tsk|hmph)(?![\w'’])", re.IGNORECASE)


def normalize_emphasis(text: str, is_word: Callable[[str], bool]) -> str:
    """Replace emphatic spellings. `is_word` returns whether the dictionary has a lower-case word."""
    text = SOUND.sub(lambda match: _sound(match[0]), text)
    text = LENGTHENED.sub(lambda match: _shortened(match[0], is_word), text)
    return SENTENCE.sub(lambda sentence: _lowered(sentence[0], is_word), text)


def _sound(written: str) -> str:
    plain = RUN.sub(lambda run: run[0][:2], written.lower()) if written[0] not in "zZ" else "zzz"
    word = SOUNDS[plain]
    return word.capitalize() if written[0].isupper() else word


def _shortened(word: str, is_word: Callable[[str], bool]) -> str:
    runs = RUN.findall(word)
    if len(runs) > MAX_RUNS or len(set(word.lower())) == 1:
        return word
    return next((shorter for shorter in _shorter(word, len(runs)) if is_word(shorter.lower())), word)


def _shorter(word: str, n_runs: int) -> Iterator[str]:
    """Yield the word with two of each repeated letter, then one: "goood" is good, "sooo" is so."""
    for sizes in product((2, 1), repeat=n_runs):
        size = iter(sizes)
        yield RUN.sub(lambda run: run[0][: next(size)], word)  # noqa: B023


def _lowered(sentence: str, is_word: Callable[[str], bool]) -> str:
    words = [match["word"].lower() for match in CAPITALS.finditer(sentence)]
    known = [word for word in words if is_word(word)]
    is_shouted = sentence.upper() == sentence and (len(known) > 1 or any(len(word) > 3 for word in known))

    def lowered(match: re.Match[str]) -> str:
        word, tail = match["word"].lower(), match["tail"].lower()
        if word == "i":
            return f"I{tail}"
        before = sentence[: match.start()]
        # THE US, but GIVE US; TEN AM, but I AM.
        is_name = (
            word in LETTERS or (word == "us" and before.endswith("THE ")) or (word == "am" and before[-2:] != "I ")
        )
        if is_name or ROMAN.fullmatch(match["word"]) or not (word in COMMON_WORDS or (is_shouted and is_word(word))):
            # DON is not a word without its tail 'T.
            return f"{word}{tail}" if tail in ("'t", "’t") else match[0]
        # The phonemizer recognizes the numeral of a Chapter IV by its capitals.
        is_numbered = is_shouted and NUMERAL_NEXT.match(sentence, match.end())
        return (word.capitalize() if is_numbered else word) + tail

    text = CAPITALS.sub(lowered, sentence)
    # Keep the case of the first letter.
    first = next((place for place, character in enumerate(text) if character.isalpha()), 0)
    return text[:first] + sentence[first : first + 1] + text[first + 1 :]
