"""Words written for effect as a dictionary has them: in CAPITALS, drawn ooout, sounds like shh."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

# A dictionary's reader spells many of these when they stand in capitals ("You CAN do it"). Not among them: IT, US, AM,
# WHO and others that are read as letters at least as often.
LITTLE = frozenset({
    "ah", "and", "are", "as", "at", "be", "been", "but", "by", "can", "did", "do", "for", "get", "go", "gone", "got",
    "had", "has", "have", "he", "her", "hi", "him", "his", "hm", "hmm", "how", "if", "in", "is", "make", "must", "my", "no", "not",
    "of", "oh", "on", "or", "our", "put", "said", "she", "sir", "so", "some", "that", "the", "them", "they", "this",
    "to", "up", "was", "we", "went", "were", "what", "when", "why", "will", "with", "you", "your",
})  # fmt: skip
# Words of the dictionary that are letters when they stand in capitals.
LETTERS = frozenset({"ad", "id", "ok", "pa", "pm", "cia", "led"})
# Sounds without vowels, which would be spelled.
SOUNDS = {"shh": "shush", "brr": "burr", "grr": "gurr", "zzz": "zuzz", "tsk": "tisk", "hmph": "humf"}

SENTENCE = re.compile(r"[^.!?\n]+")
# Not beside a sign that makes it part of a name, nor behind the comma before the name of a state.
CAPITALS = re.compile(
    r"(?<![\w&@#/'’.-])(?<!\w, )(?P<word>[A-Z]{2,}|I(?=['’]))(?P<tail>(?:['’][A-Z]{1,2})?)(?![\w&@#/'’-])(?!\.[A-Z])"
)
ROMAN = re.compile(r"[IVXLC]+")
NUMERAL_NEXT = re.compile(r" [IVXLC]+\b")
# Three or more of a letter inside a word; `xxx` and `www` are none.
DRAWN_OUT = re.compile(r"(?<![\w.@/])(?=[A-Za-z]{4,40}(?![\w.@/]\w))[A-Za-z]*?([A-Za-z])\1{2,}[A-Za-z]*", re.IGNORECASE)
RUN = re.compile(r"([A-Za-z])\1{2,}", re.IGNORECASE)
MAX_RUNS = 4
SOUND = re.compile(r"(?<![\w.'’-])(sh{2,}|br{2,}|gr{2,}|z{3,}|tsk|hmph)(?![\w'’])", re.IGNORECASE)


def plainly_written(text: str, is_word: Callable[[str], bool]) -> str:
    """The text without what is written for effect. `is_word` tells whether the dictionary has a word in small letters."""
    text = SOUND.sub(lambda found: _sound(found[0]), text)
    text = DRAWN_OUT.sub(lambda found: _drawn_in(found[0], is_word), text)
    return SENTENCE.sub(lambda sentence: _calmed(sentence[0], is_word), text)


def _sound(written: str) -> str:
    plain = RUN.sub(lambda run: run[0][:2], written.lower()) if written[0] not in "zZ" else "zzz"
    word = SOUNDS[plain]
    return word.capitalize() if written[0].isupper() else word


def _drawn_in(word: str, is_word: Callable[[str], bool]) -> str:
    runs = RUN.findall(word)
    if len(runs) > MAX_RUNS or len(set(word.lower())) == 1:
        return word
    return next((shorter for shorter in _shorter(word, len(runs)) if is_word(shorter.lower())), word)


def _shorter(word: str, n_runs: int) -> Iterator[str]:
    """With two of each drawn letter, then with one: "goood" is good, "sooo" is so."""
    for sizes in product((2, 1), repeat=n_runs):
        size = iter(sizes)
        yield RUN.sub(lambda run: run[0][: next(size)], word)  # noqa: B023


def _calmed(sentence: str, is_word: Callable[[str], bool]) -> str:
    words = [found["word"].lower() for found in CAPITALS.finditer(sentence)]
    known = [word for word in words if is_word(word)]
    is_shouted = sentence.upper() == sentence and (len(known) > 1 or any(len(word) > 3 for word in known))

    def calmed(found: re.Match[str]) -> str:
        word, tail = found["word"].lower(), found["tail"].lower()
        if word == "i":
            return f"I{tail}"
        before = sentence[: found.start()]
        # THE US, but GIVE US; TEN AM, but I AM.
        is_name = (
            word in LETTERS or (word == "us" and before.endswith("THE ")) or (word == "am" and before[-2:] != "I ")
        )
        if is_name or ROMAN.fullmatch(found["word"]) or not (word in LITTLE or (is_shouted and is_word(word))):
            # DON'T is no word without its tail.
            return f"{word}{tail}" if tail in ("'t", "’t") else found[0]
        # The reader knows the numeral of a Chapter IV by its capital.
        is_numbered = is_shouted and NUMERAL_NEXT.match(sentence, found.end())
        return (word.capitalize() if is_numbered else word) + tail

    calm = CAPITALS.sub(calmed, sentence)
    # A sentence begins as it did.
    first = next((place for place, character in enumerate(calm) if character.isalpha()), 0)
    return calm[:first] + sentence[first : first + 1] + calm[first + 1 :]
