"""English numbers as words: cardinals, ordinals, decimals, years and single digits.

Own code because inflect takes two seconds to import.
"""

from __future__ import annotations

# Longer numbers are read digit by digit.
MAX_DIGITS = 15
UNDER_TWENTY = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
SCALES = ("", " thousand", " million", " billion", " trillion")
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
PLURALS = {"foot": "feet", "inch": "inches", "penny": "pence", "yen": "yen", "sen": "sen", "won": "won"}


def cardinal(number: str) -> str:
    """`1,250,000.75` as one million two hundred and fifty thousand point seven five; the sign is kept."""
    sign = "minus " if number[:1] in ("-", "−") else ""
    whole, point, fraction = number.lstrip("-−+").replace(",", "").partition(".")
    if point:
        return f"{sign}{cardinal(whole or '0')} point {digits(fraction)}"
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return sign + digits(whole)
    return sign + _words(int(whole))


def ordinal(number: str) -> str:
    """`21` as twenty-first."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    return words[:cut] + ORDINALS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")


def digits(number: str) -> str:
    """`042` as zero four two; other characters stay."""
    return " ".join(UNDER_TWENTY[int(character)] if character.isdecimal() else character for character in number)


def year(number: str) -> str:
    """`1987` as nineteen eighty-seven, `1905` as nineteen oh five, `2007` as two thousand and seven, `2024` as
    twenty twenty-four."""
    value = int(number)
    hundreds, rest = divmod(value, 100)
    if not 1000 <= value <= 9999 or (hundreds % 10 == 0 and rest < 10):
        return _words(value)
    if rest == 0:
        return f"{_words(hundreds)} hundred"
    return f"{_words(hundreds)} {'oh ' if rest < 10 else ''}{_words(rest)}"


def decade(number: str) -> str:
    """`1990` as nineteen nineties, `80` as eighties."""
    words = year(number) if len(number) == 4 else _words(int(number))
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def plural(unit: str) -> str:
    """The plural of a unit's noun."""
    return unit if unit.endswith("hertz") else PLURALS.get(unit, unit + "s")


def letters(text: str) -> str:
    """`a1` as A one: every letter and digit separately, other characters removed."""
    return " ".join(UNDER_TWENTY[int(c)] if c.isdecimal() else c.upper() for c in text if c.isdecimal() or c.isalpha())


def _words(value: int) -> str:
    groups = []
    for scale in SCALES:
        value, group = divmod(value, 1000)
        if group:
            groups.append(_under_thousand(group) + scale)
        if not value:
            break
    if len(groups) > 1 and not groups[0].endswith(SCALES[1:]) and "hundred" not in groups[0]:
        groups[0] = f"and {groups[0]}"
    return " ".join(reversed(groups)) or UNDER_TWENTY[0]


def _under_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    if rest < 20:
        words = UNDER_TWENTY[rest]
    else:
        words = TENS[rest // 10 - 2] + (f"-{UNDER_TWENTY[rest % 10]}" if rest % 10 else "")
    if not hundreds:
        return words
    return f"{UNDER_TWENTY[hundreds]} hundred" + (f" and {words}" if rest else "")
