"""Document model: chapters of text blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "break"]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of text with normalized white space; a `break` has no text."""

    text: str
    kind: BlockKind = "paragraph"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter; `title` may be empty."""

    title: str
    blocks: tuple[TextBlock, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `title` and `author` are empty if the file does not state them."""

    title: str
    author: str
    chapters: tuple[Chapter, ...]

    @property
    def n_chars(self) -> int:
        """Number of characters in all blocks."""
        return sum(len(block.text) for chapter in self.chapters for block in chapter.blocks)


def plain_space(text: str) -> str:
    """Collapse white space to single spaces and remove soft hyphens and zero-width characters."""
    return " ".join(text.translate(INVISIBLE).split())


INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
