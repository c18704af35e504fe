"""Escaping of user texts inside Markdown."""

from __future__ import annotations

import re

SPECIAL = re.compile(r"([\\`*_\[\]#+|$~:<>&-])")


def escape_markdown(text: str) -> str:
    """Return Markdown that renders as `text`: prices are not formulas, asterisks not bold."""
    return SPECIAL.sub(r"\\\1", text)
