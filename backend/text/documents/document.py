"""A book or an article as values: chapters of blocks, and the sentences to speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "break"]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A run of text that stands by itself, white space made plain; a `break` has none."""

    text: str
    kind: BlockKind = "paragraph"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part with a name of its own; `title` may be empty."""

    title: str
    blocks: tuple[TextBlock, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What was read from a file. `title` and `author` are empty where the file does not say."""

    title: str
    author: str
    chapters: tuple[Chapter, ...]

    @property
    def n_chars(self) -> int:
        """Characters to speak."""
        return sum(len(block.text) for chapter in self.chapters for block in chapter.blocks)


def plain_space(text: str) -> str:
    """The text with every run of white space as one blank, without the signs that only say where a word may break."""
    return " ".join(text.translate(INVISIBLE).split())


INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
