"""Digits: telephone numbers, chains, separators, ranges, ordinals, and what is left at the end."""

from __future__ import annotations

import re

from backend.text.normalization.numbers import cardinal, digits, letters, ordinal
from backend.text.normalization.rule import NO_DIGIT_AFTER, NO_DIGIT_BEFORE, NUMBER, rule, set_apart


def _telephone_parts(number: str) -> str:
    return ", ".join(digits(part) for part in re.findall(r"\d+", number))


def _international(match: re.Match[str]) -> str:
    return ("plus " if match[0][0] == "+" else "") + _telephone_parts(match[0])


def _grouped(match: re.Match[str]) -> str:
    """Thousands with spaces or points between them, with commas instead."""
    whole, comma, decimals = match[0].partition(",")
    return re.sub(r"\D", ",", whole) + (f".{decimals}" if comma else "")


def _chain(match: re.Match[str]) -> str:
    return ", ".join(letters(part) for part in re.split(r"[-‐‑–]", match[0]))


def _amount(number: str) -> str:
    whole = number.replace(",", "").partition(".")[0]
    # Telephone and serial numbers: an amount of seven digits is written with commas.
    if "," not in number and "." not in number and len(whole) >= 7:
        return digits(whole)
    return cardinal(number)


SEPARATORS = (
    rule("thousands with spaces",
         r"(?<![\w.,])(?:[1-9]\d{0,2}(?:[\u00a0\u2009\u202f]\d{3}){1,4}|[1-9]\d{0,2}(?: \d{3}){0,3} 000)(?![\w]|[.,:/-]\d)", _grouped,
         ("10 000 and 3\u00a0000\u00a0000, rooms 101 202",
          "ten thousand and three million, rooms one hundred and one two hundred and two")),
    rule("thousands with points", r"(?<![\w.,])[1-9]\d{0,2}(?:\.\d{3}){2,4}(?:,\d{1,2})?(?![\w]|[.,:/-]\d)|(?<![\w.,])[1-9]\d{0,2}(?:\.\d{3}){1,4},\d{2}(?![\w]|[.,:/-]\d)",
         lambda m: m[0] if re.fullmatch(r"(?:(?:1?\d?\d|2[0-4]\d|25[0-5])\.){3}(?:1?\d?\d|2[0-4]\d|25[0-5])", m[0]) else _grouped(m),
         ("The total is 1.234.567 euros.",
          "The total is one million two hundred and thirty-four thousand five hundred and sixty-seven euros."),
         ("1.234,56", "one thousand two hundred and thirty-four point five six"),
         ("at 192.168.100.200", "at one hundred and ninety-two dot one hundred and sixty-eight dot one hundred dot two hundred")),
    rule("list of numbers", r"(?<![\w.,])\d{1,3}(?:,\d{1,3}){2,20}(?![\w]|[.,]\d)",
         lambda m: m[0] if re.fullmatch(r"\d{1,3}(?:,\d{3})+", m[0]) else m[0].replace(",", ", "),
         ("See pages 12,15,18 of it.", "See pages twelve, fifteen, eighteen of it."),
         ("1,250,000", "one million two hundred and fifty thousand")),
    rule("numbers after a plural", r"\b((?:pages|chapters|verses|rooms|numbers|lines|items|ages|questions|sections|figures|days|steps) \d{1,2}),(?=\d{1,2}(?![\w]|[.,]\d))",
         lambda m: f"{m[1]}, ", ("pages 12,15", "pages twelve, fifteen"), ignore_case=True),
    rule("decimal comma", r"(?<![\w.,])(\d{1,6}),(\d{1,2})(?![\w]|[.,]\d)|(?<![\w.,])(\d{1,6}),(\d{1,2})(?=(?:km|m|cm|mm|kg|g|mg|l|ml|cl|V|W|kW|GB|MB|GHz|MHz)\b)",
         lambda m: f"{m[1] or m[3]}.{m[2] or m[4]}",
         ("It is 22,5 degrees outside.", "It is twenty-two point five degrees outside."),
         ("1,5 kg", "one point five kilograms"), ("0,75l", "zero point seven five liters"),
         ("In 1,250 cases", "In one thousand two hundred and fifty cases")),
    rule("leading zero", r"(?<=[A-Za-z] )0(?=[1-9](?![\w]|[.,:/-]\d))", "",
         ("Chapter 01", "Chapter one"), ("Episode 05 begins now.", "Episode five begins now."),
         ("agent 007", "agent zero zero seven")),
    rule("season and episode", r"\bS0?(\d{1,2})E0?(\d{1,2})\b", lambda m: f"season {cardinal(m[1])} episode {cardinal(m[2])}",
         ("S01E05", "season one episode five")),
)  # fmt: skip

CHAINS = (
    rule("telephone", r"(?<![\w+-])(?:\+?\d{1,3}[ -])?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?![\w-])", lambda m: _telephone_parts(m[0]),
         ("Call 555-123-4567 now", "Call five five five, one two three, four five six seven now")),
    rule("international telephone",
         r"(?<![\w+-])\+\d{1,3}(?:[ .-]\(?\d{1,4}\)?){2,5}(?![\w-])|(?<![\w+-])\(?0\d{2,4}\)? \d{3,4} \d{3,4}(?![\w-])", _international,
         ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
         ("(020) 7946 0958", "zero two zero, seven nine four six, zero nine five eight")),
    rule("local telephone", r"\b((?:call|dial|phone|ring|telephone|tel|number|text|fax)\b[^\d\n]{0,12})(\d{3}-\d{4})(?![\w-])",
         lambda m: m[1] + _telephone_parts(m[2]), ("Call 555-1234", "Call five five five, one two three four"), ignore_case=True),
    rule("emergency number", r"\b((?:call|dial|phone|ring) )(911|999|112)(?![\w-])(?![.,]\d)", lambda m: m[1] + digits(m[2]),
         ("call 911", "call nine one one"), ("number 911", "number nine hundred and eleven"), ignore_case=True),
    rule("chain of digits", r"(?<![\w.,/+-])(?=[\w-]{0,8}\d)[A-Za-z]{0,3}\d[\dA-Za-z]{0,11}(?:[-‐‑–](?=[A-Za-z]{0,8}\d)[\dA-Za-z]{1,12}){2,7}(?:[-‐‑–][\dXx])?(?![\w-])", _chain,
         ("Call me at 135-4567-8900.", "Call me at one three five, four five six seven, eight nine zero zero."),
         ("The ISBN 978-0-306-40615-7 is right.",
          "The ISBN nine seven eight, zero, three zero six, four zero six one five, seven is right."),
         ("a 4-4-2 formation", "a four, four, two formation"),
         ("order 12-AB34-9", "order one two, A B three four, nine"),
         ("a state-of-the-art lens", "a state-of-the-art lens"),
         ("a 10-year-old boy", "a ten-year-old boy")),
    rule("twenty-four seven", r"(?<![\w/.-])24/7(?![\w/])", "twenty-four seven", ("24/7", "twenty-four seven")),
    rule("nine eleven", r"(?<![\w/.-])9/11(?![\w/])", "nine eleven", ("9/11", "nine eleven"), ("on 9/12", "on nine twelfths")),
    rule("fifty-fifty", r"(?<![\w-])50[-–/]50(?![\w-])", "fifty-fifty", ("50-50", "fifty-fifty")),
)  # fmt: skip

SUBTRACTION = (
    rule("subtraction", r"(?<![\w.,])(\d[\d.,]{0,12}) ?[-−–] ?(\d[\d.,]{0,12})(?= ?[=≈≠≤≥<>])|(?<=[=+×÷*] )(\d[\d.,]{0,12}) [-−–] (\d[\d.,]{0,12}\b)",
         lambda m: f"{m[1] or m[3]} minus {m[2] or m[4]}",
         ("5 - 3 = 2", "five minus three equals two"), ("x = 9 - 4", "x equals nine minus four"),
         ("10 - 20 people", "ten to twenty people")),
)  # fmt: skip

RANGES = (
    rule("range", r"(?:(?<=[\d%])|(?<=\d[ap]m)) ?(?:[-–—]|~|〜|～) ?(?=[$£€]?\d)", " to ",
         ("10-20 km", "ten to twenty kilometers"), ("9am-5pm", "nine AM to five PM"),
         ("It takes 20~30 minutes to cook.", "It takes twenty to thirty minutes to cook."),
         ("5-10%", "five to ten percent"), ("a 3-door car", "a three-door car")),
)  # fmt: skip

ORDINALS = (
    rule("ordinal", rf"{NO_DIGIT_BEFORE}(\d{{1,3}}(?:,\d{{3}})+|\d{{1,15}})(?:st|nd|rd|th)\b", lambda m: ordinal(m[1].replace(",", "")),
         ("the 1st, 22nd and 103rd", "the first, twenty-second and one hundred and third"), ("4thly", "four thly")),
)  # fmt: skip

REST = (
    rule("hyphen before a number", r"(?<=[A-Z])[-‐‑](?=\d)", " ", ("GPT-4o and F-16", "GPT four o and F sixteen"),
         ("a T-shirt", "a T-shirt")),
    rule("minus", r"(?<![\w.])[-−](?=\d)", "minus ", ("0.05 and -3", "zero point zero five and minus three")),
    rule("colon between digits", r"(?<=\d):(?=\d)", " ", ("John 3:16", "John three sixteen")),
    rule("amount", rf"(?<![\d.,])(?:{NUMBER}){NO_DIGIT_AFTER}", lambda m: set_apart(m, _amount(m[0])),
         ("42 boats", "forty-two boats"), ("A4 and B2B", "A four and B two B"),
         ("5551234567", "five five five one two three four five six seven")),
    rule("comma between digits", r"(?<=\d),(?=\d)", ", "),
    rule("point between digits", r"(?<=\d)\.(?=\d)", " point "),
    rule("digits", r"\d+", lambda m: set_apart(m, digits(m[0]))),
)  # fmt: skip
