"""Unicode scripts: detection, and removal of text in scripts that a model cannot read."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

# First word of a character's Unicode name, if it differs from the script's common name.
NAMED = {
    "CJK": "Han", "KANGXI": "Han", "HALFWIDTH": "", "FULLWIDTH": "", "IDEOGRAPHIC": "Han", "MODIFIER": "",
    "FEMININE": "Latin", "MASCULINE": "Latin", "KELVIN": "Latin", "ANGSTROM": "Latin", "MICRO": "Greek", "OHM": "Greek",
}  # fmt: skip
# Compatibility variants of letters: 𝐛𝐨𝐥𝐝, ｗｉｄｅ, the ligature ﬁ.
COMPATIBILITY_TAGS = ("<font>", "<wide>", "<compat>")
COMMON = ""
PICTOGRAMS = "pictograms"
# Fish models are multilingual; the built-in voice supports English.
FAMILY_SCRIPTS: dict[str, frozenset[str] | None] = {
    "s1": None, "s2": None, "v15": None, "phonogram": frozenset({"Latin", "Greek"}),
}  # fmt: skip
MAX_NAMED_CHARS = 24


class TextRun(NamedTuple):
    """Adjacent characters that are all spoken, or all removed because of their script."""

    text: str
    script: str
    is_spoken: bool


class ScriptSplit(NamedTuple):
    """`text` without unsupported scripts, the runs of the whole text, and a message for the user or None."""

    text: str
    runs: tuple[TextRun, ...]
    message: str | None


@lru_cache(maxsize=8192)
def script_of(character: str) -> str:
    """Return `Latin`, `Han`, `Cyrillic`...; "" for characters common to all scripts; `pictograms` for emoji."""
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
    """Replace bold, script, wide and joined letters with plain ones."""
    return text if text.isascii() else "".join(map(_plain_letter, text))


def _plain_letter(character: str) -> str:
    is_variant = character.isalpha() and unicodedata.decomposition(character).startswith(COMPATIBILITY_TAGS)
    return unicodedata.normalize("NFKC", character) if is_variant else character


def split_by_script(text: str, scripts: Collection[str] | None) -> ScriptSplit:
    """Remove text that is not in `scripts`; None supports all scripts."""
    if scripts is None:
        return ScriptSplit(text, (TextRun(text, COMMON, True),) if text else (), None)
    names = [script_of(character) for character in text]
    marked: list[tuple[str, bool]] = []
    for name, character in zip(names, text, strict=True):
        is_spoken = name == COMMON or name in scripts
        # A joiner or variation selector belongs to the emoji before it.
        if marked and not marked[-1][1] and unicodedata.category(character) in ("Cf", "Mn", "Me"):
            name, is_spoken = marked[-1]
        marked.append((COMMON if is_spoken else name, is_spoken))
    runs = []
    position = 0
    for (script, is_spoken), group in groupby(marked):
        size = len(list(group))
        runs.append(TextRun(text[position : position + size], script, is_spoken))
        position += size
    spoken = "".join(run.text if run.is_spoken else " " for run in runs)
    return ScriptSplit(spoken, tuple(runs), _message(runs, scripts))


def _message(runs: list[TextRun], scripts: Collection[str]) -> str | None:
    lost: dict[str, str] = {}
    for run in runs:
        if not run.is_spoken:
            lost[run.script] = lost.get(run.script, "") + run.text
    if not lost:
        return None
    parts = [
        f"{len(text)} character{'s' if len(text) > 1 else ''} of {script} "
        f"('{text[:MAX_NAMED_CHARS]}{'…' if len(text) > MAX_NAMED_CHARS else ''}')"
        for script, text in lost.items()
    ]
    return f"Not spoken: {', '.join(parts)}; this voice supports {' and '.join(sorted(scripts))}."
