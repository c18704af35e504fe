"""Emotion and sound markers: the names each model family supports, and conversion between families."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

S1_MARKERS: dict[str, tuple[str, ...]] = {
    "emotions": (
        "angry", "sad", "excited", "surprised", "satisfied", "delighted", "scared", "worried", "upset", "nervous",
        "frustrated", "depressed", "empathetic", "embarrassed", "disgusted", "moved", "proud", "relaxed", "grateful",
        "confident", "interested", "curious", "confused", "joyful",
    ),
    "shades": (
        "disdainful", "unhappy", "anxious", "hysterical", "indifferent", "impatient", "guilty", "scornful",
        "panicked", "furious", "reluctant", "keen", "disapproving", "negative", "denying", "astonished", "serious",
        "sarcastic", "conciliative", "comforting", "sincere", "sneering", "hesitating", "yielding", "painful",
        "awkward", "amused",
    ),
    "tones": ("in a hurry tone", "shouting", "screaming", "whispering", "soft tone"),
    "sounds": (
        "laughing", "chuckling", "sobbing", "crying loudly", "sighing", "panting", "groaning", "crowd laughing",
        "background laughter", "audience laughing",
    ),
}  # fmt: skip
# Examples: this family accepts any short description in square brackets.
S2_MARKERS: dict[str, tuple[str, ...]] = {
    "emotions": ("excited", "angry", "sad", "surprised", "shocked", "delight"),
    "tones": (
        "emphasis", "laughing tone", "excited tone", "low voice", "whisper", "screaming", "shouting", "loud",
        "volume up", "volume down", "low volume", "with strong accent", "singing", "echo", "interrupting",
    ),
    "sounds": (
        "laughing", "chuckle", "chuckling", "inhale", "exhale", "sigh", "panting", "tsk", "clearing throat",
        "moaning", "audience laughter",
    ),
    "pauses": ("pause", "short pause"),
}  # fmt: skip
MARKERS: dict[str, Mapping[str, tuple[str, ...]]] = {"s1": S1_MARKERS, "s2": S2_MARKERS, "v15": {}, "phonogram": {}}
BRACKETS = {"s1": "()", "s2": "[]"}
FREE_FORM = frozenset({"s2"})
# Markers of the other family with the same meaning.
ALIASES = {
    "s1": {
        "whisper": "whispering", "sigh": "sighing", "chuckle": "chuckling", "laugh": "laughing", "sob": "sobbing",
        "surprise": "surprised", "delight": "delighted", "audience laughter": "audience laughing",
    },
}  # fmt: skip

NAMES = {family: frozenset(name for group in groups.values() for name in group) for family, groups in MARKERS.items()}
ANY_NAME = NAMES["s1"] | NAMES["s2"]
# Any short phrase in square brackets is a marker; parentheses are a marker only around a known name.
SQUARE = re.compile(r"\[([a-z][a-z' -]{0,48})\]", re.IGNORECASE)
ROUND = re.compile(r"\(([a-z][a-z ]{0,48})\)", re.IGNORECASE)
EITHER = re.compile(f"{SQUARE.pattern}|{ROUND.pattern}", re.IGNORECASE)


class Marker(NamedTuple):
    """A marker in a text: its lower-case name and its position, brackets included."""

    name: str
    start: int
    end: int
    is_square: bool


class MarkersFound(NamedTuple):
    known: list[Marker]
    unknown: list[Marker]


def markers(family: str) -> dict[str, tuple[str, ...]]:
    """Return the markers of a family by group, with brackets; {} if it has none."""
    return {group: tuple(written(name, family) for name in names) for group, names in MARKERS[family].items()}


def written(name: str, family: str) -> str:
    return f"{BRACKETS[family][0]}{name}{BRACKETS[family][1]}"


def find_markers(text: str, family: str) -> MarkersFound:
    """Find the markers in a text. A marker is known if the family supports its name, in either kind of brackets."""
    result = MarkersFound([], [])
    for match in EITHER.finditer(text):
        is_square = match[1] is not None
        name = " ".join((match[1] or match[2]).lower().split())
        if not is_square and name not in ANY_NAME:
            continue
        name = ALIASES.get(family, {}).get(name, name)
        is_known = name in NAMES[family] or family in FREE_FORM
        (result.known if is_known else result.unknown).append(Marker(name, *match.span(), is_square))
    return result


def adapt_markers(text: str, family: str) -> tuple[str, tuple[str, ...]]:
    """Rewrite markers in the family's form and remove unknown ones; returns the text and the removed names."""
    result = find_markers(text, family)
    known = set(result.known)
    pieces, position, ignored = [], 0, []
    for marker in sorted([*result.known, *result.unknown], key=lambda marker: marker.start):
        before, after = text[position : marker.start], text[marker.end : marker.end + 1]
        if marker in known:
            before += written(marker.name, family)
        else:
            ignored.append(marker.name)
            # Remove one of the two surrounding spaces too.
            before = before.rstrip(" ") if not after or after in " .,;:!?" else before
        pieces.append(before)
        position = marker.end
    adapted = "".join([*pieces, text[position:]])
    # Remove the space after a marker at the start of the text.
    adapted = adapted if not ignored or text[:1] == " " else adapted.lstrip(" ")
    return adapted, tuple(dict.fromkeys(ignored))
