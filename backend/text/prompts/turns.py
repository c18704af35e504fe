"""Who says what: text with speaker tags as turns, and turns as the segments that are spoken one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.text.segmentation.sentences import split_to_length

SPEAKER_TAG = re.compile(r"<\|speaker:(\d+)\|>")
# The published model was trained with at most this many turns in a message.
MAX_GROUP_TURNS = 5


@dataclass(frozen=True, slots=True)
class TurnSegment:
    """Text spoken in one generation. `speaker` is None if it has no speaker tag, or several that differ."""

    text: str
    speaker: int | None = None


def split_turns(text: str, *, keep_lead: bool = True) -> list[str]:
    """The turns of a text, each from its speaker tag to the next, stripped; [] if there is no tag.

    Text before the first tag is a turn without one. `keep_lead` off drops it, as upstream does.
    """
    starts = [found.start() for found in SPEAKER_TAG.finditer(text)]
    if not starts:
        return []
    lead = [text[: starts[0]].strip()] if keep_lead and text[: starts[0]].strip() else []
    ends = [*starts[1:], len(text)]
    return lead + [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def split_long_turn(turn: str, max_bytes: int) -> list[str]:
    """A turn in pieces of at most `max_bytes` where sentences allow it, each with the turn's own speaker tag."""
    found = SPEAKER_TAG.match(turn)
    tag = found[0] if found else ""
    # A limit smaller than the tag itself still has to leave room for words.
    room = max(max_bytes - len(tag.encode()), max_bytes // 2, 1)
    pieces = [piece.strip() for piece in split_to_length(turn[len(tag) :], room)]
    return [tag + piece for piece in pieces if piece] or [turn]


def group_turns(turns: list[str], max_bytes: int) -> list[str]:
    """Neighboring turns joined by newlines: at most five, and `max_bytes` of UTF-8 unless one alone is longer."""
    groups: list[list[str]] = []
    n_bytes = 0
    for turn in turns:
        size = len(turn.encode("utf-8", "surrogatepass"))
        if not groups or len(groups[-1]) >= MAX_GROUP_TURNS or n_bytes + size > max_bytes:
            groups.append([])
            n_bytes = 0
        groups[-1].append(turn)
        n_bytes += size
    return ["\n".join(group) for group in groups]


def cut_turns(turns: list[str], max_bytes: int) -> list[str]:
    """Turns cut where they are too long, then neighbors grouped while they fit."""
    return group_turns([piece for turn in turns for piece in split_long_turn(turn, max_bytes)], max_bytes)


def segments_of(texts: list[str]) -> list[TurnSegment]:
    return [TurnSegment(text, _speaker(text)) for text in texts]


def _speaker(text: str) -> int | None:
    speakers = {int(number) for number in SPEAKER_TAG.findall(text)}
    return speakers.pop() if len(speakers) == 1 else None


def is_silent(text: str) -> bool:
    """Whether nothing is left to say once the speaker tags are taken out."""
    return not SPEAKER_TAG.sub("", text).strip()
