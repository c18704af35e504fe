"""Written English as it is spoken: numbers, dates, money, times, units, abbreviations, addresses.

A model that reads digits well does not need it; it is on a switch. Text inside control tags, markers in brackets and
phoneme pairs is never touched.

The rules run in the order of `RULES`. What holds other signs comes first (addresses, then names with periods, then note
marks); what needs its separators comes before the rules that remove them (dates and telephone numbers before ranges,
money before plain amounts, units before single letters); amounts and digits that no rule understood come last.
"""

from __future__ import annotations

import re

from backend.text.normalization import addresses, dates, figures, names, quantities, symbols
from backend.text.normalization.rule import Rule

PROTECTED = re.compile(
    r"(<\|phoneme_start\|>[\s\S]{0,400}?<\|phoneme_end\|>|<\|[^|<>\s]{1,32}\|>|\[[a-z][a-z' -]{0,48}\])"
)

RULES: tuple[Rule, ...] = (
    *addresses.ADDRESSES,
    *symbols.NOTES,
    *figures.SEPARATORS,
    *dates.NUMERIC_DATES,
    *addresses.VERSIONS,
    *names.RULES,
    *symbols.FORMULAS,
    *dates.RANGES,
    *figures.CHAINS,
    *symbols.MUSICAL_SHARPS,
    *figures.SUBTRACTION,
    *quantities.MONEY_BY_CODE,
    *figures.RANGES,
    *quantities.MONEY_BY_SIGN,
    *dates.DATES_AND_YEARS,
    *figures.ORDINALS,
    *quantities.UNIT_RULES,
    *symbols.POWERS_AND_INDICES,
    *figures.REST,
    *symbols.OPERATORS,
    *symbols.MARKDOWN,
)


def normalize_english(text: str) -> str:
    """Returns the text with figures and signs as words."""
    pieces = PROTECTED.split(text)
    # Every second piece is a protected one.
    return "".join(piece if index % 2 else _normalize(piece) for index, piece in enumerate(pieces))


def _normalize(text: str) -> str:
    text = symbols.plain_digits(text)
    for rule in RULES:
        text = rule.apply(text)
    return text
