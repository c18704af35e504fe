"""Conversion between three phonetic alphabets: IPA, ARPAbet, and the symbols of the built-in voice.

Stress is written before the syllable in IPA, before the vowel in the built-in voice's symbols, and as a digit after
the vowel in ARPAbet.
"""

from __future__ import annotations

import re

from backend.errors import BadText

ALPHABETS = ("ipa", "arpabet", "symbols")
# The alphabet of each model family's phoneme pair; None: the family has no phoneme pair.
FAMILY_ALPHABET: dict[str, str | None] = {"s1": "arpabet", "s2": "arpabet", "v15": None, "phonogram": "symbols"}

# ARPAbet, IPA, built-in symbols. The first row of an ARPAbet sound is used for output.
VOWELS = (
    ("AA", "ɑ", "ɑ"), ("AE", "æ", "æ"), ("AH", "ʌ", "ʌ"), ("AO", "ɔ", "ɔ"), ("AW", "aʊ", "W"), ("AY", "aɪ", "I"),
    ("EH", "ɛ", "ɛ"), ("ER", "ɝ", "ɜɹ"), ("EY", "eɪ", "A"), ("IH", "ɪ", "ɪ"), ("IY", "i", "i"), ("OW", "oʊ", "O"),
    ("OY", "ɔɪ", "Y"), ("UH", "ʊ", "ʊ"), ("UW", "u", "u"),
    ("AH", "ə", "ə"), ("AA", "ɒ", "ɒ"), ("ER", "ɜ", "ɜ"), ("ER", "ɚ", "əɹ"), ("OW", "əʊ", "Q"), ("EH", "e", "ɛ"),
    ("AE", "a", "a"), ("OW", "o", "O"), ("AH", "ɐ", "ɐ"), ("IH", "ᵻ", "ᵻ"),
)  # fmt: skip
CONSONANTS = (
    ("B", "b", "b"), ("CH", "tʃ", "ʧ"), ("D", "d", "d"), ("DH", "ð", "ð"), ("F", "f", "f"), ("G", "ɡ", "ɡ"),
    ("HH", "h", "h"), ("JH", "dʒ", "ʤ"), ("K", "k", "k"), ("L", "l", "l"), ("M", "m", "m"), ("N", "n", "n"),
    ("NG", "ŋ", "ŋ"), ("P", "p", "p"), ("R", "ɹ", "ɹ"), ("S", "s", "s"), ("SH", "ʃ", "ʃ"), ("T", "t", "t"),
    ("TH", "θ", "θ"), ("V", "v", "v"), ("W", "w", "w"), ("Y", "j", "j"), ("Z", "z", "z"), ("ZH", "ʒ", "ʒ"),
    ("CH", "ʧ", "ʧ"), ("JH", "ʤ", "ʤ"), ("G", "g", "ɡ"), ("R", "r", "ɹ"), ("T", "ɾ", "T"), ("L", "ɫ", "l"),
)  # fmt: skip
TABLE = VOWELS + CONSONANTS
IS_VOWEL = {arpabet for arpabet, _, _ in VOWELS}
IPA_OF = {arpabet: ipa for arpabet, ipa, _ in reversed(TABLE)}
BY_IPA = {ipa: (arpabet, symbol) for arpabet, ipa, symbol in TABLE}
IPA_SOUND = re.compile("|".join(sorted(map(re.escape, BY_IPA), key=len, reverse=True)))
# Ties, syllable dots and brackets have no equivalent in the other alphabets; only some vowel symbols have a length mark.
IPA_SILENT = re.compile("[\u0361\u035c.‿|/\\[\\]\u0329\u032f\u02b0]")
STRESS = {"ˈ": "1", "ˌ": "2", "'": "1", ",": "2"}
MAX_CHARS = 400


def convert(phonemes: str, alphabet: str, family: str) -> str | None:
    """Convert phonemes to the alphabet of a family; None if the family cannot represent them.

    Raises `BadText` for an unknown alphabet or sound.
    """
    if alphabet not in ALPHABETS:
        raise BadText(f"The phonetic alphabet is '{alphabet}'; expected one of {', '.join(ALPHABETS)}. Correct it.")
    if not phonemes.strip() or len(phonemes) > MAX_CHARS or "<|" in phonemes:
        raise BadText(f"'{phonemes[:40]}' is not a pronunciation; expected 1 to {MAX_CHARS} phonemes. Correct it.")
    target = FAMILY_ALPHABET[family]
    ipa = arpabet_to_ipa(phonemes) if alphabet == "arpabet" else phonemes
    if alphabet != "symbols":
        # Validated for every family, so that a lexicon is either valid for all or rejected.
        sounds = _sounds(ipa)
        if target is None:
            return None
        return _arpabet(sounds) if target == "arpabet" else _symbols(sounds)
    return phonemes.strip() if target == "symbols" else None


def arpabet_to_ipa(phonemes: str) -> str:
    """Convert `HH AH0 L OW1` to `hʌlˈoʊ`; unstressed AH is ə, unstressed ER is ɚ. Raises `BadText`."""
    ipa = []
    for sound in phonemes.upper().split():
        name, stress = (sound[:-1], sound[-1]) if sound[-1] in "012" else (sound, "")
        if name not in IPA_OF or (stress and name not in IS_VOWEL):
            raise BadText(f"'{sound}' is not an ARPAbet sound. Separate sounds with spaces, as in HH AH0 L OW1.")
        weak = {"AH": "ə", "ER": "ɚ"}.get(name) if stress == "0" else None
        ipa.append({"1": "ˈ", "2": "ˌ"}.get(stress, "") + (weak or IPA_OF[name]))
    return "".join(ipa)


def _sounds(ipa: str) -> list[tuple[str, str, str]]:
    """Return ARPAbet name, built-in symbol and stress ("", "1", "2") of each sound; a space has no name."""
    text = IPA_SILENT.sub("", ipa.strip())
    sounds: list[tuple[str, str, str]] = []
    position, stress = 0, ""
    while position < len(text):
        character = text[position]
        if character in STRESS:
            stress = STRESS[character]
            position += 1
        elif character == "ː" and sounds:
            sounds[-1] = (sounds[-1][0], sounds[-1][1] + "ː", sounds[-1][2])
            position += 1
        elif character.isspace():
            sounds.append(("", " ", ""))
            position += 1
        elif match := IPA_SOUND.match(text, position):
            arpabet, symbol = BY_IPA[match[0]]
            is_vowel = arpabet in IS_VOWEL
            sounds.append((arpabet, symbol, stress if is_vowel else ""))
            stress = "" if is_vowel else stress
            position = match.end()
        else:
            raise BadText(f"'{character}' in '{ipa[:40]}' is not English IPA. Correct it or respell the word.")
    return sounds


def _arpabet(sounds: list[tuple[str, str, str]]) -> str:
    return " ".join(name + ((stress or "0") if name in IS_VOWEL else "") for name, _, stress in sounds if name)


def _symbols(sounds: list[tuple[str, str, str]]) -> str:
    mark = {"1": "ˈ", "2": "ˌ", "": ""}
    return "".join(mark[stress] + symbol for _, symbol, stress in sounds)
