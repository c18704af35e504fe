"""Speaker turns: split text at speaker tags, and group turns into segments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.text.segmentation.sentences import split_to_length

SPEAKER_TAG = re.compile(r"<\|speaker:(\d+)\|>")
# The published model was trained with at most this many turns in a message.
MAX_GROUP_TURNS = 5


@dataclass(frozen=True, slots=True)
class TurnSegment:
    """Text generated in one pass. `speaker` is None without a speaker tag or with different ones."""

    text: str
    speaker: int | None = None


def split_turns(text: str, *, keep_lead: bool = True) -> list[str]:
    """Split a text at speaker tags into stripped turns; [] if there is no tag.

    Text before the first tag is a turn too; `keep_lead` False drops it, as upstream does.
    """
    starts = [match.start() for match in SPEAKER_TAG.finditer(text)]
    if not starts:
        return []
    lead = [text[: starts[0]].strip()] if keep_lead and text[: starts[0]].strip() else []
    ends = [*starts[1:], len(text)]
    return lead + [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def split_long_turn(turn: str, max_bytes: int) -> list[str]:
    """Split a turn into pieces of at most `max_bytes` where possible, each with the turn's speaker tag."""
    match = SPEAKER_TAG.match(turn)
    tag = match[0] if match else ""
    # Leave space for words even if the limit is smaller than the tag.
    text_bytes = max(max_bytes - len(tag.encode()), max_bytes // 2, 1)
    pieces = [piece.strip() for piece in split_to_length(turn[len(tag) :], text_bytes)]
    return [tag + piece for piece in pieces if piece] or [turn]


def group_turns(turns: list[str], max_bytes: int) -> list[str]:
    """Join adjacent turns with newlines: at most five, and `max_bytes` of UTF-8 unless one alone is longer."""
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
    """Split long turns, then group adjacent ones."""
    return group_turns([piece for turn in turns for piece in split_long_turn(turn, max_bytes)], max_bytes)


def segments_of(texts: list[str]) -> list[TurnSegment]:
    return [TurnSegment(text, _speaker(text)) for text in texts]


def _speaker(text: str) -> int | None:
    speakers = {int(number) for number in SPEAKER_TAG.findall(text)}
    return speakers.pop() if len(speakers) == 1 else None


def is_silent(text: str) -> bool:
    """Whether the text is empty apart from speaker tags."""
    return not SPEAKER_TAG.sub("", text).strip()
