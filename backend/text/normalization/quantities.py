"""Money, measures with their units, and fractions."""

from __future__ import annotations

import re

from backend.text.normalization.numbers import cardinal, ordinal, plural
from backend.text.normalization.rule import NO_DIGIT_AFTER, NO_DIGIT_BEFORE, NUMBER, alternatives, rule

CURRENCIES = {
    "$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", "sen"),
    "₹": ("rupee", "paisa"), "₩": ("won", "jeon"), "₽": ("ruble", "kopeck"), "₺": ("lira", "kurush"),
    "₪": ("shekel", "agora"), "₿": ("bitcoin", "satoshi"), "US$": ("U S dollar", "cent"),
    "A$": ("Australian dollar", "cent"), "AU$": ("Australian dollar", "cent"), "C$": ("Canadian dollar", "cent"),
    "CA$": ("Canadian dollar", "cent"), "NZ$": ("New Zealand dollar", "cent"), "HK$": ("Hong Kong dollar", "cent"),
    "S$": ("Singapore dollar", "cent"), "R$": ("Brazilian real", "centavo"), "NT$": ("Taiwan dollar", "cent"),
}  # fmt: skip
CODES = {
    "USD": "U S dollar", "EUR": "euro", "GBP": "pound", "JPY": "yen", "CHF": "Swiss franc", "AUD": "Australian dollar",
    "CAD": "Canadian dollar", "NZD": "New Zealand dollar", "INR": "rupee", "CNY": "yuan", "SEK": "Swedish krona",
    "NOK": "Norwegian krone", "DKK": "Danish krone", "PLN": "zloty", "BRL": "Brazilian real", "KRW": "won",
}  # fmt: skip
SIGNS = alternatives(CURRENCIES)
SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "mi": "mile", "ft": "foot",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "liter",
    "L": "liter", "ml": "milliliter", "mL": "milliliter", "dl": "deciliter", "dL": "deciliter", "cl": "centiliter",
    "s": "second", "ms": "millisecond", "min": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "Hz": "hertz",
    "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt",
    "kWh": "kilowatt hour", "MWh": "megawatt hour", "V": "volt", "A": "amp", "dB": "decibel", "°C": "degree Celsius",
    "°F": "degree Fahrenheit", "°": "degree", "kph": "kilometer per hour", "mph": "mile per hour",
    "kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second", "px": "pixel",
    "nm": "nanometer", "µm": "micrometer", "μm": "micrometer", "µg": "microgram", "μg": "microgram",
    "µs": "microsecond", "μs": "microsecond", "sq ft": "square foot", "sq. ft": "square foot", "yd": "yard",
    "tsp": "teaspoon", "tbsp": "tablespoon", "sec": "second", "secs": "second", "mins": "minute", "kcal": "kilocalorie",
    "kJ": "kilojoule", "mAh": "milliamp hour", "¢": "cent", "º": "degree", "ºC": "degree Celsius",
    "ºF": "degree Fahrenheit", "Pa": "pascal", "kPa": "kilopascal", "hPa": "hectopascal", "MPa": "megapascal",
    "psi": "pound per square inch", "rpm": "revolution per minute", "bpm": "beat per minute", "ppm": "part per million",
    "fps": "frame per second", "mol": "mole", "mmol": "millimole", "ha": "hectare",
}  # fmt: skip
# Units with a square or cube, and those that others are taken per.
POWERED = ("km", "m", "cm", "mm", "mi", "ft", "yd", "nm", "s", "in")
PER = {
    "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "day": "day", "d": "day", "week": "week",
    "wk": "week", "month": "month", "mo": "month", "year": "year", "yr": "year", "kg": "kilogram", "g": "gram",
    "mg": "milligram", "lb": "pound", "oz": "ounce", "l": "liter", "L": "liter", "dl": "deciliter", "dL": "deciliter",
    "ml": "milliliter", "mL": "milliliter", "m": "meter", "km": "kilometer", "cm": "centimeter", "mi": "mile",
    "ft": "foot", "gal": "gallon", "mol": "mole", "kWh": "kilowatt hour", "W": "watt", "px": "pixel", "person": "person",
    "night": "night", "hour": "hour", "minute": "minute", "second": "second", "pixel": "pixel", "unit": "unit",
}  # fmt: skip
POWERS = {"²": "square", "³": "cubic", "^2": "square", "^3": "cubic"}
POWER = r"(?:[²³]|\^[23](?!\d))"
# The period of "12 ft. tall", which ends no sentence.
UNIT_POINT = r"(?:(?:(?<=ft|lb|oz|hr|yd|kg|mg|km|cm|mm|ml)|(?<=lbs|hrs|min|sec|tsp)|(?<=mins|secs|tbsp))\.(?= [a-z]))?"
FRACTIONS = {
    "½": "a half", "⅓": "a third", "⅔": "two thirds", "¼": "a quarter", "¾": "three quarters", "⅛": "an eighth",
    "⅕": "a fifth", "⅖": "two fifths", "⅗": "three fifths", "⅘": "four fifths", "⅙": "a sixth", "⅚": "five sixths",
    "⅜": "three eighths", "⅝": "five eighths", "⅞": "seven eighths",
}  # fmt: skip
FRACTION = f"[{''.join(FRACTIONS)}]"
PARTS = {2: "half", 3: "third", 4: "quarter"}
MONEY = rf"(?P<sign>{SIGNS}) ?(?P<minus>[-−]?)(?P<amount>{NUMBER})(?: ?(?P<scale>thousand|million|billion|trillion|bn|tn|mn|[kKmMbB])\b)?"


def counted(number: str, unit: str) -> str:
    """`1 foot` as one foot, `3` as three feet."""
    return f"{cardinal(number)} {unit if number == '1' else unit_plural(unit)}"


def unit_plural(unit: str) -> str:
    """The plural of a unit's first noun: `pounds per square inch`."""
    head, rest = unit, ""
    for tail in (" per ", " Celsius", " Fahrenheit"):
        if tail in head:
            head, rest = head[: head.index(tail)], head[head.index(tail) :] + rest
    first, space, noun = head.rpartition(" ")
    return first + space + plural(noun) + rest


def _money(match: re.Match[str]) -> str:
    minus = "minus " if match["minus"] or match["before"] else ""
    per = f" per {PER[match['per']]}" if match["per"] else ""
    return minus + _amount_of(match["sign"], match["amount"].replace(",", ""), match["scale"]) + per


def _money_as_kind(match: re.Match[str]) -> str:
    """`a $20 bill`: the kind is in the singular."""
    scale = f" {SCALES[match['scale'].lower()]}" if match["scale"] else ""
    minus = "minus " if match["minus"] else ""
    return f"{match['article']} {minus}{cardinal(match['amount'])}{scale} {CURRENCIES[match['sign']][0]}"


def _amount_of(sign: str, amount: str, scale: str | None) -> str:
    unit, part = CURRENCIES[sign]
    if scale:
        return f"{cardinal(amount)} {SCALES[scale.lower()]} {unit_plural(unit)}"
    whole, _, cents = amount.partition(".")
    if len(cents) not in (0, 2):
        return f"{cardinal(amount)} {unit_plural(unit)}"
    words = counted(whole, unit)
    if int(cents or 0) == 0:
        return words
    small = counted(str(int(cents)), part)
    return small if int(whole) == 0 else f"{words} and {small}"


def _unit_words(written: str) -> str:
    """A unit in the singular, with its power and what it is taken per: `m³/hr` as cubic meter per hour."""
    if written in UNITS:
        return UNITS[written]
    top, _, bottom = written.partition("/")
    match = re.fullmatch(rf"(.+?)({POWER})?", top)
    assert match is not None, written
    unit = UNITS.get(match[1]) or {"in": "inch"}[match[1]]
    words = f"{POWERS[match[2]]} {unit}" if match[2] else unit
    if not bottom:
        return words
    below = re.fullmatch(rf"(.+?)({POWER})?", bottom)
    assert below is not None, written
    if below[2] and below[1] == "s":
        return f"{words} per second {'squared' if POWERS[below[2]] == 'square' else 'cubed'}"
    per = f"{POWERS[below[2]]} {PER[below[1]]}" if below[2] else PER[below[1]]
    return f"{words} per {per}"


def _measure(match: re.Match[str]) -> str:
    return counted(match["amount"].replace(",", ""), _unit_words(match["unit"]))


def _mixed_number(match: re.Match[str]) -> str:
    """`2 1/4`; other pairs of numbers are no amount."""
    whole, above, below = match.groups()
    if not int(above) < int(below):
        return match[0]
    part = PARTS.get(int(below)) or ordinal(below)
    if above == "1":
        return f"{cardinal(whole)} and {'an' if part[0] == 'e' else 'a'} {part}"
    return f"{cardinal(whole)} and {cardinal(above)} {part}s"


def speak_fraction(match: re.Match[str]) -> str:
    """`3/4` as three quarters; the groups are above and below the line."""
    above, below = int(match[1]), int(match[2])
    if not 1 < below <= 100 or above >= 100:
        return f"{cardinal(match[1])} slash {cardinal(match[2])}"
    part = PARTS.get(below) or ordinal(str(below))
    if above != 1:
        part = "halves" if below == 2 else part + "s"
    return f"{cardinal(match[1])} {part}"


def _fraction_of(match: re.Match[str]) -> str:
    """`a ½ cup` as a half cup, `a ¾ inch` as a three quarter inch."""
    words = FRACTIONS[match[2]]
    if words.startswith(("a ", "an ")):
        return words
    return f"{match[1]} {words.removesuffix('s')}"


# Units that stand behind a fraction sign.
HALVED = alternatives(("tsp", "tbsp", "oz", "lb", "ft", "kg", "km", "mi", "cm", "ml", "l", "hr", "h", "min"))
_UNIT = (
    rf"(?:(?:{alternatives(POWERED)}){POWER}|{alternatives(UNITS)})"
    rf"(?:/(?:{alternatives(PER)}){POWER}?(?![\w]))?"
)

MONEY_BY_SIGN = (
    rule("money as a kind", rf"(?P<article>\b[Aa]n?) {MONEY}(?= [a-z]){NO_DIGIT_AFTER}", _money_as_kind,
         ("a $20 bill", "a twenty dollar bill")),
    rule("money", rf"(?P<before>(?<![\w-])[-−])?(?<![A-Za-z]){MONEY}{NO_DIGIT_AFTER}(?:/(?P<per>{alternatives(PER)})\b)?", _money,
         ("$2.50, £3.05, €1, $0.99", "two dollars and fifty cents, three pounds and five pence, one euro, ninety-nine cents"),
         ("$3 million and $1.2bn", "three million dollars and one point two billion dollars"),
         ("It costs A$5 here.", "It costs five Australian dollars here."),
         ("US$10 or C$3", "ten U S dollars or three Canadian dollars"),
         ("She lost $-5.", "She lost minus five dollars."), ("$20/hour", "twenty dollars per hour")),
    rule("money, sign behind", rf"{NO_DIGIT_BEFORE}({NUMBER}) ?({SIGNS})(?![\w])",
         lambda m: counted(m[1].replace(",", ""), CURRENCIES[m[2]][0]), ("5 € or 1€", "five euros or one euro")),
)  # fmt: skip

MONEY_BY_CODE = (
    rule("money by code", rf"(?<!\w)(?:(?P<code>{alternatives(CODES)}) ?(?P<amount>{NUMBER})|(?P<first>(?<![.,])(?:{NUMBER})) ?(?=(?:million |billion |trillion )?[A-Z]{{3}})(?P<scale>million |billion |trillion )?(?P<behind>{alternatives(CODES)}))(?!\w)",
         lambda m: _money_by_code_named(m),
         ("EUR 20 and 5 USD", "twenty euros and five U S dollars"), ("3 million CHF", "three million Swiss francs")),
)  # fmt: skip


def _money_by_code_named(match: re.Match[str]) -> str:
    code, amount = match["code"] or match["behind"], (match["amount"] or match["first"]).replace(",", "")
    if match["scale"]:
        return f"{cardinal(amount)} {match['scale'].strip()} {unit_plural(CODES[code])}"
    return counted(amount, CODES[code])


UNIT_RULES = (
    rule("feet and inches", r"(?<![\w.,])(\d)['’′] ?(\d{1,2})(?:[\"”″]|['’′]{2})(?!\w)",
         lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}", ("He is 6'2\".", "He is six foot two.")),
    rule("feet and inches in words", r"(?<![\w.,])(\d{1,2}) ?(?:ft|feet|foot)\.? (\d{1,2}) ?in\b(?:\.(?= [a-z]))?",
         lambda m: f"{counted(m[1], 'foot')} {counted(m[2], 'inch')}", ("5 ft 6 in tall", "five feet six inches tall")),
    rule("inches", r"(?<![\w.,])(\d{1,4}) ?in\.?(?= (?:wide|long|tall|high|deep|thick|across)\b)", lambda m: counted(m[1], "inch"),
         ("5 in. wide", "five inches wide"), ("5 in the room", "five in the room")),
    rule("hours and minutes", r"(?<![\w.,])(\d{1,2}) ?h (\d{1,2}) ?m(?:in)?\b",
         lambda m: f"{counted(m[1], 'hour')} {counted(m[2], 'minute')}", ("1h 30m", "one hour thirty minutes")),
    rule("measure", rf"{NO_DIGIT_BEFORE}(?P<amount>[-−]?(?:{NUMBER})) ?(?P<unit>{_UNIT})(?![\w/°'’²³^]){UNIT_POINT}", _measure,
         ("20 km at 60 mph, -5 °C, 1 kg, 3 ft", "twenty kilometers at sixty miles per hour, minus five degrees Celsius, one kilogram, three feet"),
         ("It uses 3 m³/hr of gas.", "It uses three cubic meters per hour of gas."),
         ("He ran at 10 mg/kg of it.", "He ran at ten milligrams per kilogram of it."),
         ("3 m/s², 5m², 1 g/cm³", "three meters per second squared, five square meters, one gram per cubic centimeter"),
         ("12 sq. ft. of floor", "twelve square feet of floor"), ("16GB. 5 users", "sixteen gigabytes. five users"),
         ("2 kWh", "two kilowatt hours"), ("30 psi", "thirty pounds per square inch")),
    rule("unit behind a fraction", rf"(?<!\d)(?<!\d )({FRACTION}) ?({HALVED})(?!\w)",
         lambda m: f"{FRACTIONS[m[1]]} {UNITS[m[2]]}" if FRACTIONS[m[1]].startswith("a") else f"{FRACTIONS[m[1]]} {unit_plural(UNITS[m[2]])}",
         ("½ tsp of salt", "a half teaspoon of salt"), ("¾ lb", "three quarters pounds")),
    rule("unit behind a mixed number", rf"(?<=\d{FRACTION}) ?({HALVED}|hrs)(?!\w)|(?<=\d {FRACTION}) ?({HALVED}|hrs)(?!\w)",
         lambda m: f" {unit_plural(UNITS[m[1] or m[2]])}", ("3½ tsp", "three and a half teaspoons")),
    rule("fraction after an article", rf"\b([Aa]n?) ({FRACTION})(?= ?[a-z])", _fraction_of,
         ("Add a ½ cup of milk.", "Add a half cup of milk."), ("a ¾ inch pipe", "a three quarter inch pipe")),
    rule("number and fraction sign", rf"(?<![\w.,])(\d{{1,4}}) ?({FRACTION})", lambda m: f"{cardinal(m[1])} and {FRACTIONS[m[2]]}",
         ("2½", "two and a half"), ("10 ¼", "ten and a quarter")),
    rule("fraction sign", FRACTION, lambda m: FRACTIONS[m[0]], ("½", "a half"), ("¾ of it", "three quarters of it")),
    rule("mixed number", r"(?<![\w.,/])(\d{1,3}) (\d{1,2})/(2|3|4|5|6|8|10|16|32)(?![\w/])", _mixed_number,
         ("2 1/4 cups", "two and a quarter cups"), ("Add 2 1⁄2 cups of milk.", "Add two and a half cups of milk."),
         ("rooms 4 5/2", "rooms four five halves")),
    rule("ratio", r"\b((?:ratio|odds|scale|proportion)\b[^\d\n]{0,24}\d{1,3}):(?=\d{1,3}\b)", lambda m: f"{m[1]} to ",
         ("The ratio 4:1", "The ratio four to one"), ("John 3:16", "John three sixteen"), ignore_case=True),
    rule("fraction", r"(?<![\w./])(\d{1,6})/(\d{1,6})(?![\w/])", speak_fraction,
         ("1/2, 3/4", "one half, three quarters"), ("a/b", "a/b"), ("120/80", "one hundred and twenty slash eighty")),
)  # fmt: skip
