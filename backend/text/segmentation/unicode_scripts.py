"""Which scripts a voice can read, and what it would leave out of a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

# The first word of a character's Unicode name, where it is not the script's common name.
NAMED = {
    "CJK": "Han", "KANGXI": "Han", "HALFWIDTH": "", "FULLWIDTH": "", "IDEOGRAPHIC": "Han", "MODIFIER": "",
    "FEMININE": "Latin", "MASCULINE": "Latin", "KELVIN": "Latin", "ANGSTROM": "Latin", "MICRO": "Greek", "OHM": "Greek",
}  # fmt: skip
# Letters that are others in a costume: 𝐛𝐨𝐥𝐝, ｗｉｄｅ, the ligature ﬁ.
COSTUMES = ("<font>", "<wide>", "<compat>")
COMMON = ""
PICTOGRAMS = "pictograms"
# Fish models were trained on many languages; the built-in voice reads English.
FAMILY_SCRIPTS: dict[str, frozenset[str] | None] = {
    "s1": None, "s2": None, "v15": None, "phonogram": frozenset({"Latin", "Greek"}),
}  # fmt: skip
MAX_NAMED_CHARS = 24


class TextRun(NamedTuple):
    """Neighboring characters that are all spoken, or all left out for being of one script."""

    text: str
    script: str
    is_spoken: bool


class ScriptSplit(NamedTuple):
    """`text` without what cannot be spoken, the stretches of the whole, and a sentence for the user or None."""

    text: str
    stretches: tuple[TextRun, ...]
    message: str | None


@lru_cache(maxsize=8192)
def script_of(character: str) -> str:
    """`Latin`, `Han`, `Cyrillic`...; "" for what all scripts share; `pictograms` for emoji and other pictures."""
    category = unicodedata.category(character)
    if category == "So" or 0x1F1E6 <= ord(character) <= 0x1FAFF:
        return PICTOGRAMS if ord(character) >= 0x2190 else COMMON
    if category[0] not in "LMN" or (character.isascii() and not character.isalpha()):
        return COMMON
    words = unicodedata.name(character, "").split()
    if not words or (category == "Mn" and words[0] == "COMBINING") or category == "No":
        return COMMON
    if NAMED.get(words[0]) == "" and len(words) > 1:
        words = words[1:]
    script = NAMED.get(words[0], words[0].capitalize())
    return COMMON if script in ("Digit", "Letter", "Roman", "Variation") else script.removesuffix("-indic")


def plain_letters(text: str) -> str:
    """The text with bold, script, wide and joined letters as the plain ones they stand for."""
    return text if text.isascii() else "".join(map(_plain_letter, text))


def _plain_letter(character: str) -> str:
    is_costume = character.isalpha() and unicodedata.decomposition(character).startswith(COSTUMES)
    return unicodedata.normalize("NFKC", character) if is_costume else character


def split_by_script(text: str, scripts: Collection[str] | None) -> ScriptSplit:
    """Split a text into what a voice that reads `scripts` can say and what it cannot; None: it reads all of them."""
    if scripts is None:
        return ScriptSplit(text, (TextRun(text, COMMON, True),) if text else (), None)
    names = [script_of(character) for character in text]
    marked: list[tuple[str, bool]] = []
    for name, character in zip(names, text, strict=True):
        is_spoken = name == COMMON or name in scripts
        # A joiner or a variation sign belongs to the picture before it, and shared marks do not cut a phrase.
        if marked and not marked[-1][1] and unicodedata.category(character) in ("Cf", "Mn", "Me"):
            name, is_spoken = marked[-1]
        marked.append((COMMON if is_spoken else name, is_spoken))
    stretches = []
    position = 0
    for (script, is_spoken), group in groupby(marked):
        size = len(list(group))
        stretches.append(TextRun(text[position : position + size], script, is_spoken))
        position += size
    spoken = "".join(stretch.text if stretch.is_spoken else " " for stretch in stretches)
    return ScriptSplit(spoken, tuple(stretches), _message(stretches, scripts))


def _message(stretches: list[TextRun], scripts: Collection[str]) -> str | None:
    lost: dict[str, str] = {}
    for stretch in stretches:
        if not stretch.is_spoken:
            lost[stretch.script] = lost.get(stretch.script, "") + stretch.text
    if not lost:
        return None
    parts = [
        f"{len(text)} character{'s' if len(text) > 1 else ''} of {script} "
        f"('{text[:MAX_NAMED_CHARS]}{'…' if len(text) > MAX_NAMED_CHARS else ''}')"
        for script, text in lost.items()
    ]
    return f"Not spoken: {', '.join(parts)}; this voice reads {' and '.join(sorted(scripts))}."
