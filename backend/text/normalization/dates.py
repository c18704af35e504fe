"""Dates, times of day, years, and ranges of them."""

from __future__ import annotations

import re

from backend.text.normalization.numbers import cardinal, decade, ordinal, year
from backend.text.normalization.rule import NO_DIGIT_AFTER, ends_sentence, rule

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_OF = {month[:3].lower(): month for month in MONTHS} | {"sept": "September"}
MONTH = r"(?P<month>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]{0,6})\.?"
WEEKDAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thur": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
WEEKDAY = "|".join(sorted(WEEKDAYS, key=len, reverse=True))
SHORT_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
YEAR = r"1[1-9]\d\d|20\d\d"
# A measure is no year: 1500 km.
NO_UNIT = r"(?! ?(?:km|kg|cm|mm|ml|mL|mg|ft|lbs?|oz|mph|kph|[kKMGT]B|[kMG]?W|[kMG]?Hz|kWh|m|g|l|px|kcal|cal|rpm|ppm|psi|m/s|km/h)(?!\w))"
# A number after these counts, and is no year.
COUNTING = (
    r"over|under|nearly|almost|exactly|only|roughly|least|most|than|to about|of about|approximately|some|another|total of|costs?"
    r"|weighs?|worth|times|plus|minus|equals"
)
# Nouns in the plural that do not end in s.
PLURALS = "people|men|women|children|feet|inches|teeth|mice|geese|sheep|fish|deer|cattle|police|percent|staff|troops"
# A plural noun, alone or after one adjective in small letters, as what is counted: "1500 people", "1200 small boats".
FUNCTION_WORDS = (
    "the|an|he|she|it|we|they|you|was|were|is|are|had|has|have|and|or|but|when|while|as|in|on|at|to|of|with|for|from|by"
    "|that|this|who|which|where|after|before|because|did|does|would|could|will|can|so|then|there|his|her|its|their|our"
)
COUNTED = rf"(?= (?:(?!(?:{FUNCTION_WORDS})\b)[a-z]{{2,14}} )?(?:{PLURALS}|(?!(?:was|is|has|this|as|his|its|us|does|yes|always|perhaps|across|towards|besides|thus|plus|versus|series|various|previous|famous)\b)[a-z]+(?<![sui])s)\b)"
NOT_COUNTED = COUNTED.replace("(?=", "(?!", 1)


def speak_time(match: re.Match[str]) -> str:
    """A time of day; the groups are `hour`, `minute` and `half` (a.m. or p.m.)."""
    hour, minute = match["hour"], match["minute"]
    half = re.sub(r"[^apm]", "", (match["half"] or "").lower()).upper() + "." * ends_sentence(match)
    if not minute:
        return f"{cardinal(str(int(hour)))} {half}"
    if minute == "00":
        is_clock = 0 < int(hour) <= 12
        words = cardinal(str(int(hour))) + ("" if half else " o'clock" if is_clock else " hundred")
    else:
        spoken = f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute)
        words = f"{cardinal(str(int(hour)))} {spoken}"
    return f"{words} {half}".strip()


def speak_date(day: str, month: str, of_year: str | None) -> str:
    """`May seventeenth, twenty twenty-four`."""
    words = f"{month} {ordinal(str(int(day)))}"
    return f"{words}, {year(of_year)}" if of_year else words


def _month_named(written: str) -> str | None:
    """The month that `written` is or abbreviates; None for other words, such as Mayor."""
    month = MONTH_OF.get(written[:4].lower()) or MONTH_OF[written[:3].lower()]
    return month if month.lower().startswith(written.lower()) or written.lower() == "sept" else None


def _named_date(match: re.Match[str]) -> str:
    month = _month_named(match["month"])
    if month is None:
        return match[0]
    if " of " in match[0]:
        spoken_year = f", {year(match['year'])}" if match["year"] else ""
        return f"{ordinal(str(int(match['day'])))} of {month}{spoken_year}"
    return speak_date(match["day"], month, match["year"])


def _month_and_year(match: re.Match[str]) -> str:
    month = _month_named(match["month"])
    return match[0] if month is None else f"{month} {year(match['year'])}"


def _century(short: str) -> str:
    """The year that two digits stand for: up to 49 in this century."""
    return f"{20 if int(short) < 50 else 19}{short}"


def _numeric_date(match: re.Match[str]) -> str:
    """Day and month in the order that can be meant; both possible: the American one, month first."""
    first, second, of_year = int(match[1]), int(match[3]), match[4]
    of_year = of_year if len(of_year) == 4 else _century(of_year)
    is_day_first = first > 12 or (match[2] == "." and second <= 12)
    day, month = (first, second) if is_day_first else (second, first)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return speak_date(str(day), MONTHS[month - 1], of_year)


def _year_range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if len(last) == 2:
        if int(last) <= int(first[2:]):
            return match[0]
        return f"{year(first)} to {cardinal(str(int(last)))}"
    return f"{year(first)} to {year(last)}" if int(last) > int(first) else match[0]


def _years(match: re.Match[str]) -> str:
    return re.sub(YEAR, lambda one: year(one[0]), match[0])


NUMERIC_DATES = (
    rule("ISO date", r"(?<![\w/.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])",
         lambda m: speak_date(m[3], MONTHS[int(m[2]) - 1], m[1]),
         ("2024-05-17", "May seventeenth, twenty twenty-four")),
    rule("date, year first", r"(?<![\w/.-])(\d{4})/(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])(?![\w/])",
         lambda m: speak_date(m[3], MONTHS[int(m[2]) - 1], m[1]),
         ("on 2024/10/01", "on October first, twenty twenty-four"), ("2024/13/01", "two thousand and twenty-four/thirteen/zero one")),
    rule("date in figures", r"(?<![\w/.-])(0?[1-9]|[12]\d|3[01])(/|\.)(0?[1-9]|[12]\d|3[01])\2([12]\d{3})(?![\w/]|\.\d)", _numeric_date,
         ("5/17/2024", "May seventeenth, twenty twenty-four"),
         ("17/05/2024", "May seventeenth, twenty twenty-four"),
         ("01.10.2024", "October first, twenty twenty-four"),
         ("31/31/2024", "thirty-one/thirty-one/two thousand and twenty-four")),
    rule("date in figures, short year", r"(?<![\w/.-])(0?[1-9]|[12]\d|3[01])(/)(0?[1-9]|[12]\d|3[01])/(\d{2})(?![\w/]|\.\d)", _numeric_date,
         ("on 10/01/24", "on October first, twenty twenty-four"), ("on 12/31/99", "on December thirty-first, nineteen ninety-nine")),
)  # fmt: skip

RANGES = (
    rule("range of weekdays", rf"\b({WEEKDAY})\.? ?[-–—] ?({WEEKDAY})\b\.?",
         lambda m: f"{WEEKDAYS[m[1]]} to {WEEKDAYS[m[2]]}" + "." * ends_sentence(m),
         ("It is open Mon-Fri all year.", "It is open Monday to Friday all year."),
         ("Sat–Sun only", "Saturday to Sunday only"), ("Sun-dried", "Sun-dried")),
    rule("weekday before a date or time", rf"\b({WEEKDAY})(?:\.,?|,)?(?= (?:\d{{1,2}}(?::\d\d|[ap]m|st|nd|rd|th| ?[ap]\.m\.)|(?:\d{{1,2}} )?(?:{SHORT_MONTH})\b))",
         lambda m: WEEKDAYS[m[1]] + ("," if m[0][-1] == "," else ""),
         ("Mon 9:30 and Fri, 5 May", "Monday nine thirty and Friday, May fifth"),
         ("The sun 5 times", "The sun five times"), ("He sat 3 hours.", "He sat three hours.")),
    rule("range of months", rf"\b({SHORT_MONTH})\.? ?[-–—] ?({SHORT_MONTH})\b\.?",
         lambda m: f"{MONTH_OF[m[1].lower()]} to {MONTH_OF[m[2].lower()]}" + "." * ends_sentence(m),
         ("Jan-Mar", "January to March"), ("Sept–Nov 2020", "September to November twenty twenty")),
    rule("range of years", rf"(?<![\w.,$£€/-])({YEAR}) ?[-–—] ?(\d{{4}}|\d{{2}})(?![\w%/-]|[.,]\d){NOT_COUNTED}", _year_range,
         ("Charles Dickens (1812–1870) wrote it.", "Charles Dickens (eighteen twelve to eighteen seventy) wrote it."),
         ("the war of 1914-18", "the war of nineteen fourteen to eighteen"),
         ("1200-1500 people", "one thousand two hundred to one thousand five hundred people")),
)  # fmt: skip

DATES_AND_YEARS = (
    rule("date, month first", rf"\b{MONTH} (?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\b(?:,? (?P<year>[12]\d{{3}})\b)?{NO_DIGIT_AFTER}(?! ?[-–] ?\d{{4}})",
         _named_date,
         ("May 5, 2021; Sept. 3", "May fifth, twenty twenty-one; September third"),
         ("Mayor 5", "Mayor five")),
    rule("date, day first", rf"(?<![\w.,])(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?: of)? {MONTH}(?!\w)(?:,? (?P<year>[12]\d{{3}})\b)?",
         _named_date,
         ("the 21st of June; 1 Oct 2024", "the twenty-first of June; October first, twenty twenty-four"),
         ("7 Marines", "seven Marines")),
    rule("month and year", rf"\b{MONTH},? (?P<year>{YEAR})(?![\w%]|[.,]\d)", _month_and_year,
         ("It was June 1969 when they landed.", "It was June nineteen sixty-nine when they landed."),
         ("Oct. 2024", "October twenty twenty-four")),
    rule("time of day", r"(?<![\w:.])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?![:\d])(?: ?(?P<half>[ap]\.?m\.?(?!\w)))?", speak_time,
         ("10:30 am, 9:05, 10:00, 17:00", "ten thirty AM, nine oh five, ten o'clock, seventeen hundred"),
         ("00:00", "zero hundred"), ("1:02:03", "one zero two zero three"), ignore_case=True),
    rule("time with a period", r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])\.(?P<minute>[0-5]\d) ?(?P<half>[ap]\.?m\.?)(?!\w)", speak_time,
         ("8.30pm", "eight thirty PM"), ignore_case=True),
    rule("full hour", r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])(?P<minute>) ?(?P<half>[ap]\.?m\.?)(?!\w)", speak_time,
         ("7pm", "seven PM"), ("At 10 a.m. He left.", "At ten AM. He left."), ("5 p.m. EST", "five PM EST"), ignore_case=True),
    rule("decade", r"(?<![\w.,])(\d{2}|[12]\d{3})['’]?[sS](?!\w)", lambda m: decade(m[1]) if m[1].endswith("0") else m[0],
         ("the 1990s and 80s", "the nineteen nineties and eighties")),
    rule("year after a preposition",
         r"\b((?:in|since|until|till|by|before|after|during|from|around|circa|year|of|to|and|early|late|mid|©) )"
         rf"(1\d{{3}}|20\d\d)(?![\w%]|[.,]\d)(?! (?:[a-z]+s|{PLURALS})\b){NO_UNIT}", lambda m: m[1] + year(m[2]),
         ("In 1066 and since 2007", "In ten sixty-six and since two thousand and seven"),
         ("of 1500 people", "of one thousand five hundred people"), ignore_case=True),
    rule("years in a list", rf"(?<![\w.,$£€#/+=×-])(?:(?:{YEAR}),? (?:and |or |, )?){{1,12}}(?:{YEAR})(?![\w%]|[.,]\d){NO_UNIT}{NOT_COUNTED}", _years,
         ("He won in 1994, 1998 and 2002.", "He won in nineteen ninety-four, nineteen ninety-eight and two thousand and two.")),
    rule("year in parentheses", rf"(?<=\()({YEAR})(?=[),;])", lambda m: year(m[1]),
         ("the book (1984) sold", "the book (nineteen eighty-four) sold")),
    rule("bare year",
         rf"(?<![\w.,$£€¥#/+=×÷*^-])(?<!\d )(?P<before>\b(?:[Tt]he|[Tt]his|[Tt]hat|[Aa]n?|[Hh]is|[Hh]er|[Ii]ts|[Tt]heir|[Oo]ur) )?(?P<year>{YEAR})"
         rf"(?![\w%°º]|[.,]\d| ?[-–+*/=×÷<>] ?\d){NO_UNIT}(?P<counted>{COUNTED})?",
         lambda m: _bare_year(m),
         ("The 1929 crash ruined him.", "The nineteen twenty-nine crash ruined him."),
         ("The 1918 flu came back.", "The nineteen eighteen flu came back."),
         ("The 1998 elections were fair.", "The nineteen ninety-eight elections were fair."),
         ("He had 1500 people there.", "He had one thousand five hundred people there."),
         ("over 1800 of them", "over one thousand eight hundred of them"),
         ("1200 small boats came.", "one thousand two hundred small boats came.")),
)  # fmt: skip


def _bare_year(match: re.Match[str]) -> str:
    start = match.start("year")
    before = match.string[max(start - 24, 0) : start]
    # "the 1998 elections" names them by their year; a round number counts: "the 1200 soldiers".
    is_counted = match["counted"] is not None and not (match["before"] and not match["year"].endswith("00"))
    is_counted |= re.match(rf" to \d[\d,]{{0,8}}{COUNTED}", match.string[match.end("year") :][:64]) is not None
    if is_counted or re.search(rf"\b(?:{COUNTING}) $", before, re.IGNORECASE):
        return (match["before"] or "") + cardinal(match["year"])
    return (match["before"] or "") + year(match["year"])
