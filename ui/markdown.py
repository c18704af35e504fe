"""Texts of visitors inside Markdown: shown as they are."""

from __future__ import annotations

import re

MARKS = re.compile(r"([\\`*_\[\]#+|$~:<>&-])")


def plain_text(text: str) -> str:
    """`text` as Markdown that reads the same: no prices as formulas, no stars as bold."""
    return MARKS.sub(r"\\\1", text)
