"""English detection, which decides whether numbers are written out."""

from __future__ import annotations

import re

from backend.text.segmentation.unicode_scripts import script_of

# Function words that identify a language.
ENGLISH = frozenset({
    "the", "of", "and", "to", "in", "is", "it", "you", "that", "was", "for", "on", "are", "with", "as", "at", "be",
    "this", "have", "from", "or", "by", "not", "but", "what", "all", "were", "we", "when", "your", "can", "said",
    "there", "an", "which", "she", "they", "will", "if", "do", "how", "he", "his", "i", "my", "me", "our", "us",
    "him", "her", "had", "has", "did", "just", "so", "no", "yes", "please", "there's", "it's", "i'm", "don't",
    "here", "up", "out", "about", "now",
})  # fmt: skip
FOREIGN = frozenset({
    "le", "la", "les", "des", "du", "et", "une", "est", "que", "qui", "dans", "pour", "pas", "sur", "avec", "je",
    "il", "elle", "nous", "vous", "au", "aux", "ce", "der", "die", "das", "und", "ist", "ein", "eine", "nicht",
    "mit", "von", "zu", "den", "dem", "auf", "für", "sie", "ich", "wir", "el", "los", "las", "una", "por", "para",
    "con", "del", "se", "su", "como", "más", "pero", "y", "o", "os", "um", "uma", "não", "em", "da", "di", "che",
    "non", "per", "sono", "gli", "della", "het", "een", "van", "niet", "op", "dat", "ik", "de", "en", "och", "att",
    "som", "på", "är", "jag", "til", "og", "af", "er", "det", "nie", "się", "na", "jest", "że", "w", "z",
})  # fmt: skip

WORD = re.compile(r"(?<![\w])[^\W\d_]+(?![\d_])")


def looks_english(text: str) -> bool:
    """Whether a text is English: mostly Latin letters, and no more foreign than English function words."""
    letters_in = [character for character in text if character.isalpha()]
    if not letters_in or sum(script_of(character) == "Latin" for character in letters_in) < 0.9 * len(letters_in):
        return False
    # Not letters beside figures (GPT-4o), nor single capitals (Y = 2).
    words = [word.lower() for word in WORD.findall(text) if len(word) > 1 or word.islower() or word == "I"]
    n_english, n_foreign = (sum(word in known for word in words) for known in (ENGLISH, FOREIGN))
    if n_english or n_foreign:
        return n_english >= n_foreign
    return sum(not character.isascii() for character in letters_in) <= len(letters_in) // 20
