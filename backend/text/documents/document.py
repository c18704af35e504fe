"""Document model: chapters of text blocks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "break"]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of text with normalized white space; a new line in it ends a line of verse. A `break` has no text."""

    text: str
    kind: BlockKind = "paragraph"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter; `title` may be empty."""

    title: str
    blocks: tuple[TextBlock, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `title` and `author` are empty if the file does not state them.

    `skipped` says in sentences what the file holds and is not read, or could not be read.
    """

    title: str
    author: str
    chapters: tuple[Chapter, ...]
    skipped: tuple[str, ...] = ()

    @property
    def n_chars(self) -> int:
        """Number of characters in all blocks."""
        return sum(len(block.text) for chapter in self.chapters for block in chapter.blocks)


def left_out_notes(counts: Counter[str]) -> list[str]:
    """Say what was left out, for example "12 notes were left out."."""
    return [
        f"{count} {kind if count > 1 else kind.replace('tables', 'table').removesuffix('s')} "
        f"{'were' if count > 1 else 'was'} left out."
        for kind, count in sorted(counts.items())
        if count
    ]


def plain_space(text: str) -> str:
    """Collapse white space to single spaces and remove soft hyphens and zero-width characters."""
    return " ".join(text.translate(INVISIBLE).split())


def lines_of(text: str) -> str:
    """Collapse the white space of every line; leave out empty lines."""
    lines = (plain_space(line) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


# Soft hyphens, zero-width characters and marks of writing direction.
INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200e\u200f\u061c\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
