"""English text normalization: numbers, dates, money, times, units, abbreviations and addresses.

It is optional, for models that read digits well. Control tags, bracketed markers and phoneme pairs are not changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from backend.text.normalization.numbers import cardinal, decade, digits, ordinal, plural, year

PROTECTED = re.compile(
    r"(<\|phoneme_start\|>[\s\S]{0,400}?<\|phoneme_end\|>|<\|[^|<>\s]{1,32}\|>|\[[a-z][a-z' -]{0,48}\])"
)

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_OF = {month[:3].lower(): month for month in MONTHS} | {"sept": "September"}
MONTH = r"(?P<month>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]{0,6})\.?"
CURRENCIES = {
    "$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", "sen"),
    "₹": ("rupee", "paisa"), "₩": ("won", "jeon"), "₽": ("ruble", "kopeck"), "₺": ("lira", "kurush"),
    "₪": ("shekel", "agora"), "₿": ("bitcoin", "satoshi"), "US$": ("U S dollar", "cent"),
}  # fmt: skip
SIGNS = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "mi": "mile", "ft": "foot",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "liter",
    "L": "liter", "ml": "milliliter", "mL": "milliliter", "s": "second", "ms": "millisecond", "min": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz",
    "GHz": "gigahertz", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "kWh": "kilowatt hour", "V": "volt", "A": "amp",
    "dB": "decibel", "°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "km/h": "kilometer per hour",
    "kph": "kilometer per hour", "mph": "mile per hour", "m/s": "meter per second", "kbps": "kilobit per second",
    "Mbps": "megabit per second", "Gbps": "gigabit per second", "px": "pixel", "m²": "square meter",
    "km²": "square kilometer", "m³": "cubic meter", "m/s²": "meter per second squared", "nm": "nanometer",
    "µm": "micrometer", "μm": "micrometer", "µg": "microgram", "μg": "microgram", "sq ft": "square foot",
    "sq. ft": "square foot", "yd": "yard", "tsp": "teaspoon", "tbsp": "tablespoon", "sec": "second", "secs": "second",
    "mins": "minute", "kcal": "kilocalorie", "kJ": "kilojoule", "mAh": "milliamp hour", "MB/s": "megabyte per second",
    "GB/s": "gigabyte per second", "¢": "cent", "º": "degree", "ºC": "degree Celsius", "ºF": "degree Fahrenheit",
}  # fmt: skip
ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "dr.": "doctor", "prof.": "professor", "sr.": "senior",
    "jr.": "junior", "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "a.k.a.": "also known as",
    "etc.": "et cetera", "approx.": "approximately", "dept.": "department", "ave.": "avenue", "blvd.": "boulevard",
}  # fmt: skip
# The period of these may also end a sentence.
MAYBE_LAST = ("etc.", "jr.", "dept.", "ave.", "blvd.")
BEFORE_NAMES = {
    "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Rev": "Reverend",
    "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Pres": "President", "Hon": "Honorable",
    "St": "Saint", "Mt": "Mount", "Ft": "Fort", "Ms": "Miz",
}  # fmt: skip
BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "vol": "volume", "vols": "volumes",
    "p": "page", "pp": "pages", "ch": "chapter", "est": "established", "sec": "section", "apt": "apartment",
}  # fmt: skip
FRACTIONS = {
    "½": "a half", "⅓": "a third", "⅔": "two thirds", "¼": "a quarter", "¾": "three quarters", "⅛": "an eighth",
    "⅕": "a fifth", "⅖": "two fifths", "⅜": "three eighths", "⅝": "five eighths", "⅞": "seven eighths",
}  # fmt: skip
# The period of "12 ft. tall", which does not end a sentence.
UNIT_POINT = r"(?:(?:(?<=ft|lb|oz|hr|yd|kg|mg|km|cm|mm|ml)|(?<=lbs|hrs|min|sec|tsp)|(?<=mins|secs|tbsp))\.(?= [a-z]))?"
# Units that may follow ½.
HALVED = ("tsp", "tbsp", "oz", "lb", "ft", "kg", "km", "mi", "cm", "ml", "l", "hrs", "hr", "h", "min")
PARTS = {2: "half", 3: "third", 4: "quarter"}
SYMBOLS = {
    "&": " and ", "@": " at ", "%": " percent", "=": " equals ", "+": " plus ", "°": " degrees", "×": " times ",
    "÷": " divided by ", "±": " plus or minus ", "≤": " less than or equal to ", "≥": " greater than or equal to ",
    "≠": " is not equal to ", "≈": " about ", "√": " square root of ", "∞": " infinity",
}  # fmt: skip
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
TOP_LEVEL = "com|org|net|edu|gov|io|dev|ai|app|info|co|uk|de|fr|eu|us|ca|au|jp|ch|tv|me"

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,20})?|\d{1,40}(?:\.\d{1,20})?"
MONEY = rf"(?P<sign>{SIGNS}) ?(?P<minus>[-−]?)(?P<amount>{NUMBER})(?: ?(?P<scale>thousand|million|billion|trillion|bn|tn|mn|[kKmMbB])\b)?"
NO_DIGIT_BEFORE, NO_DIGIT_AFTER = r"(?<![\w.,])", r"(?![\d]|[.,]\d)"


def normalize_english(text: str) -> str:
    """Write out all numbers and symbols as words."""
    pieces = PROTECTED.split(text)
    # Every second piece is protected.
    return "".join(piece if index % 2 else _apply_rules(piece) for index, piece in enumerate(pieces))


def _apply_rules(text: str) -> str:
    text = "".join(_plain_digit(character) for character in text)
    for pattern, words in RULES:
        text = pattern.sub(words, text)
    return text


def _plain_digit(character: str) -> str:
    # Digits of other scripts and full-width digits; ² and ① are not decimals and stay.
    return str(unicodedata.decimal(character)) if character.isdecimal() and not character.isascii() else character


def _address(match: re.Match[str]) -> str:
    address = re.sub(r"^[a-z]{2,8}://|^www\.(?=.)", "", match[0], flags=re.IGNORECASE)
    address = re.sub(r"^www\.", "", address, flags=re.IGNORECASE).rstrip("/")
    signs = {".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ",
             "?": " question mark ", "=": " equals ", "&": " and ", "#": " hash ", "%": " percent ", "~": " tilde ",
             "+": " plus "}  # fmt: skip
    spoken = "".join(signs.get(character, character) for character in address)
    return " ".join(_words_and_digits(spoken).split())


def _words_and_digits(text: str) -> str:
    return re.sub(r"\d+", lambda run: f" {digits(run[0]) if len(run[0]) > 2 else cardinal(run[0])} ", text)


def _dotted(match: re.Match[str]) -> str:
    return " ".join(("v " if match[1] else "").split() + " dot ".join(map(cardinal, match[2].split("."))).split())


def _money(match: re.Match[str]) -> str:
    minus = "minus " if match["minus"] or match["before"] else ""
    return minus + _amount_of(match["sign"], match["amount"].replace(",", ""), match["scale"])


def _money_as_kind(match: re.Match[str]) -> str:
    """`a $20 bill`: the currency is singular."""
    scale = f" {SCALES[match['scale'].lower()]}" if match["scale"] else ""
    minus = "minus " if match["minus"] else ""
    return f"{match['article']} {minus}{cardinal(match['amount'])}{scale} {CURRENCIES[match['sign']][0]}"


def _amount_of(sign: str, amount: str, scale: str | None) -> str:
    unit, part = CURRENCIES[sign]
    if scale:
        return f"{cardinal(amount)} {SCALES[scale.lower()]} {_plural(unit)}"
    whole, _, cents = amount.partition(".")
    if len(cents) not in (0, 2):
        return f"{cardinal(amount)} {_plural(unit)}"
    words = _counted(whole, unit)
    if int(cents or 0) == 0:
        return words
    small = _counted(str(int(cents)), part)
    return small if int(whole) == 0 else f"{words} and {small}"


def _money_behind(match: re.Match[str]) -> str:
    return _counted(match[1].replace(",", ""), CURRENCIES[match[2]][0])


def _counted(number: str, unit: str) -> str:
    return f"{cardinal(number)} {unit if number == '1' else _plural(unit)}"


def _plural(unit: str) -> str:
    head, rest = unit, ""
    for tail in (" per ", " Celsius", " Fahrenheit"):
        if tail in unit:
            head, rest = unit[: unit.index(tail)], unit[unit.index(tail) :]
    first, space, noun = head.rpartition(" ")
    return first + space + plural(noun) + rest


def _measure(match: re.Match[str]) -> str:
    return _counted(match["amount"].replace(",", ""), UNITS[match["unit"]])


def _abbreviation(match: re.Match[str]) -> str:
    written = match[0].lower()
    return ABBREVIATIONS[written] + ("." if written in MAYBE_LAST and _ends_sentence(match) else "")


def _ends_sentence(match: re.Match[str]) -> bool:
    """Whether the period about to be removed also ended a sentence."""
    after = match.string[match.end() : match.end() + 3]
    # "5 p.m. EST" does not end a sentence.
    begins = after[1:2].isupper() and not after[2:].isupper()
    return match[0].endswith(".") and (not after.strip() or after[0] == "\n" or begins)


def _fraction_behind(match: re.Match[str]) -> str:
    """`2 1/4`; other pairs of numbers are not fractions."""
    whole, above, below = match.groups()
    if not int(above) < int(below):
        return match[0]
    part = PARTS.get(int(below)) or ordinal(below)
    if above == "1":
        return f"{cardinal(whole)} and {'an' if part[0] == 'e' else 'a'} {part}"
    return f"{cardinal(whole)} and {cardinal(above)} {part}s"


def _roman(numeral: str) -> str:
    """`xiv` as fourteen."""
    values = [ROMAN_VALUES[letter] for letter in numeral]
    signed = (-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))
    return cardinal(str(sum(signed)))


def _parted_thousands(match: re.Match[str]) -> str:
    return re.sub(r"\D", ",", match[0])


def _telephone(match: re.Match[str]) -> str:
    return _telephone_parts(match[0])


def _telephone_parts(number: str) -> str:
    return ", ".join(digits(part) for part in re.findall(r"\d+", number))


def speak_time(match: re.Match[str]) -> str:
    hour, minute = match["hour"], match["minute"]
    half = re.sub(r"[^apm]", "", (match["half"] or "").lower()).upper() + "." * _ends_sentence(match)
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
    words = f"{month} {ordinal(str(int(day)))}"
    return f"{words}, {year(of_year)}" if of_year else words


def _named_date(match: re.Match[str]) -> str:
    month = MONTH_OF.get(match["month"][:4].lower()) or MONTH_OF[match["month"][:3].lower()]
    if not month.lower().startswith(match["month"].lower()) and match["month"].lower() != "sept":
        return match[0]
    if " of " in match[0]:
        spoken_year = f", {year(match['year'])}" if match["year"] else ""
        return f"{ordinal(str(int(match['day'])))} of {month}{spoken_year}"
    return speak_date(match["day"], month, match["year"])


def _iso_date(match: re.Match[str]) -> str:
    return speak_date(match[3], MONTHS[int(match[2]) - 1], match[1])


def _american_date(match: re.Match[str]) -> str:
    return speak_date(match[2], MONTHS[int(match[1]) - 1], match[3])


def speak_fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if not 1 < below <= 100 or above >= 100:
        return f"{cardinal(match[1])} slash {cardinal(match[2])}"
    part = PARTS.get(below) or ordinal(str(below))
    if above != 1:
        part = "halves" if below == 2 else part + "s"
    return f"{cardinal(match[1])} {part}"


RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    # Addresses first: they contain every other symbol.
    (re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]{1,512}(?<![.,;:!?])"), _address),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"), _address),
    (re.compile(rf"(?<![\w@./-])[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{0,2}}\.(?:{TOP_LEVEL})(?:/[\w/.-]{{0,256}}\w)?(?![\w.-]*\w)",
                re.IGNORECASE), _address),
    (re.compile(r"(?<![\w.])(v?)(\d{1,5}(?:\.\d{1,5}){2,5})(?![\w])"), _dotted),
    (re.compile(r"(?<![\w.])(?:" + "|".join(re.escape(a[:-1]) for a in sorted(ABBREVIATIONS, key=len, reverse=True)) + r")\.",
                re.IGNORECASE), _abbreviation),
    (re.compile(rf"\b({'|'.join(BEFORE_NAMES)})\.(?= [A-Z][\w'’.])"), lambda m: BEFORE_NAMES[m[1]]),
    (re.compile(rf"(?<![\w.])({'|'.join(BEFORE_NUMBERS)})\.(?= ?\d)", re.IGNORECASE),
     lambda m: BEFORE_NUMBERS[m[1].lower()] + ("" if m.string[m.end()] == " " else " ")),
    (re.compile(r"\b([A-Z][a-z]{1,24}) St(?=[,;!?]?(?: [a-z]|$))"), lambda m: f"{m[1]} Street"),
    (re.compile(r"(?<!\w)#(?=\d)"), lambda m: "number "),
    (re.compile(r"\b((?:chapter|part|act|scene|section|volume|book|appendix|pages?|figure|table|step|phase) )"
                r"(?=[ivxlc]{2})((?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3}))\b", re.IGNORECASE),
     lambda m: m[1] + _roman(m[2]) if m[2].islower() else m[0]),
    (re.compile(r"(?<!\w)\((i{1,3}|iv|vi{0,3}|ix)\)"), lambda m: f"({_roman(m[1])})"),
    (re.compile(r"(?<![\w.,])(?:[1-9]\d{0,2}(?:[\u00a0\u2009\u202f]\d{3}){1,4}|[1-9]\d{0,2}(?: \d{3}){0,3} 000)(?![\w]|[.,:/-]\d)"),
     _parted_thousands),
    (re.compile(r"(?<![\w/.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])"), _iso_date),
    (re.compile(r"(?<![\w/.-])(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])/(\d{4})(?![\w/])"), _american_date),
    (re.compile(r"(?<![\w/.-])(1[3-9]|2\d|3[01])/(0?[1-9]|1[0-2])/(\d{4})(?![\w/])"),
     lambda m: speak_date(m[1], MONTHS[int(m[2]) - 1], m[3])),
    (re.compile(r"(?<![\w+-])(?:\+?\d{1,3}[ -])?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?![\w-])"), _telephone),
    (re.compile(r"(?<![\w+-])\+\d{1,3}(?:[ .-]\(?\d{1,4}\)?){2,5}(?![\w-])|(?<![\w+-])\(?0\d{2,4}\)? \d{3,4} \d{3,4}(?![\w-])"),
     lambda m: ("plus " if m[0][0] == "+" else "") + _telephone(m)),
    (re.compile(r"\b((?:call|dial|phone|ring|telephone|tel|number|text|fax)\b[^\d\n]{0,12})(\d{3}-\d{4})(?![\w-])",
                re.IGNORECASE), lambda m: m[1] + _telephone_parts(m[2])),
    (re.compile(r"\b((?:call|dial|phone|ring) )(911|999|112)(?![\w-])(?![.,]\d)", re.IGNORECASE), lambda m: m[1] + digits(m[2])),
    (re.compile(r"\b([CF])#(?!\w)"), lambda m: f"{m[1]} sharp"),
    (re.compile(r"(?<![\w/.-])24/7(?![\w/])"), lambda m: "twenty-four seven"),
    (re.compile(r"(?<![\w/.-])9/11(?![\w/])"), lambda m: "nine eleven"),
    (re.compile(r"(?<![\w-])50[-–/]50(?![\w-])"), lambda m: "fifty-fifty"),
    (re.compile(r"(?:(?<=[\d%])|(?<=\d[ap]m)) ?[-–] ?(?=[$£€]?\d)"), lambda m: " to "),
    (re.compile(rf"(?P<article>\b[Aa]n?) {MONEY}(?= [a-z]){NO_DIGIT_AFTER}"), _money_as_kind),
    (re.compile(rf"(?P<before>(?<![\w-])[-−])?{MONEY}{NO_DIGIT_AFTER}"), _money),
    (re.compile(rf"{NO_DIGIT_BEFORE}({NUMBER}) ?({SIGNS})(?!\d)"), _money_behind),
    (re.compile(rf"\b{MONTH} (?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\b(?:,? (?P<year>[12]\d{{3}})\b)?{NO_DIGIT_AFTER}"),
     _named_date),
    (re.compile(rf"(?<![\w.,])(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?: of)? {MONTH}(?!\w)(?:,? (?P<year>[12]\d{{3}})\b)?"),
     _named_date),
    (re.compile(r"(?<![\w:.])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?![:\d])(?: ?(?P<half>[ap]\.?m\.?(?!\w)))?",
                re.IGNORECASE), speak_time),
    (re.compile(r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])\.(?P<minute>[0-5]\d) ?(?P<half>[ap]\.?m\.?)(?!\w)", re.IGNORECASE), speak_time),
    (re.compile(r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])(?P<minute>) ?(?P<half>[ap]\.?m\.?)(?!\w)", re.IGNORECASE), speak_time),
    (re.compile(r"(?<![\w.,])(\d{2}|[12]\d{3})['’]?[sS](?!\w)"), lambda m: decade(m[1]) if m[1].endswith("0") else m[0]),
    (re.compile(rf"{NO_DIGIT_BEFORE}(\d{{1,3}}(?:,\d{{3}})+|\d{{1,15}})(?:st|nd|rd|th)\b"), lambda m: ordinal(m[1].replace(",", ""))),
    (re.compile(r"(?<![\w.,])(\d)['’′] ?(\d{1,2})(?:[\"”″]|['’′]{2})(?!\w)"),
     lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}"),
    (re.compile(r"(?<![\w.,])(\d{1,2}) ?(?:ft|feet|foot)\.? (\d{1,2}) ?in\b(?:\.(?= [a-z]))?"),
     lambda m: f"{_counted(m[1], 'foot')} {_counted(m[2], 'inch')}"),
    (re.compile(r"(?<![\w.,])(\d{1,4}) ?in\.?(?= (?:wide|long|tall|high|deep|thick|across)\b)"), lambda m: _counted(m[1], "inch")),
    (re.compile(r"(?<![\w.,])(\d{1,2}) ?h (\d{1,2}) ?m(?:in)?\b"),
     lambda m: f"{_counted(m[1], 'hour')} {_counted(m[2], 'minute')}"),
    (re.compile(rf"{NO_DIGIT_BEFORE}(?P<amount>[-−]?(?:{NUMBER})) ?(?P<unit>" + "|".join(
        re.escape(u) for u in sorted(UNITS, key=len, reverse=True)) + rf")(?![\w/°'’]){UNIT_POINT}"), _measure),
    (re.compile(rf"(?<=[{''.join(FRACTIONS)}]) ?({'|'.join(HALVED)})(?!\w)"), lambda m: f" {_plural(UNITS[m[1]])}"),
    (re.compile(rf"(?<![\w.,])(\d) ?([{''.join(FRACTIONS)}])"), lambda m: f"{cardinal(m[1])} and {FRACTIONS[m[2]]}"),
    (re.compile(f"[{''.join(FRACTIONS)}]"), lambda m: FRACTIONS[m[0]]),
    (re.compile(r"(?<![\w.,/])(\d{1,3}) (\d{1,2})/(2|3|4|5|6|8|10|16|32)(?![\w/])"), _fraction_behind),
    (re.compile(r"\b((?:ratio|odds|scale|proportion)\b[^\d\n]{0,24}\d{1,3}):(?=\d{1,3}\b)", re.IGNORECASE), lambda m: f"{m[1]} to "),
    (re.compile(r"(?<![\w./])(\d{1,6})/(\d{1,6})(?![\w/])"), speak_fraction),
    (re.compile(r"\b((?:in|since|until|till|by|before|after|during|from|around|circa|year|of|to|and|early|late|mid|©) )"
                r"(1\d{3}|20\d\d)(?![\w%]|[.,]\d)(?! (?:[a-z]+s|people|percent)\b)", re.IGNORECASE), lambda m: m[1] + year(m[2])),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), lambda m: "minus "),
    (re.compile(r"(?<=\d):(?=\d)"), lambda m: " "),
    # Remaining numbers: digits inside a word are separated, long runs are read digit by digit.
    (re.compile(rf"(?<![\d.,])(?:{NUMBER}){NO_DIGIT_AFTER}"), lambda m: _set_apart(m, _amount(m[0]))),
    (re.compile(r"(?<=\d),(?=\d)"), lambda m: ", "),
    (re.compile(r"(?<=\d)\.(?=\d)"), lambda m: " point "),
    (re.compile(r"\d+"), lambda m: _set_apart(m, digits(m[0]))),
    (re.compile(r" ?[" + re.escape("".join(SYMBOLS)) + r"] ?"), lambda m: _symbol(m)),
    (re.compile(r" ?[²³]"), lambda m: " squared" if m[0][-1] == "²" else " cubed"),
    # Markdown marks that would otherwise be spoken.
    (re.compile(r"^(?:#{1,6}[ \t]+){1,9}(?=[^\s#])", re.MULTILINE), lambda m: ""),
    (re.compile(r"~{2,}"), lambda m: ""),
    # A sentence without a space before it.
    (re.compile(r"(?<=[a-z]{2}[!?])(?=[A-Z])|(?<=[a-z]{2}\.)(?=[A-Z][a-z]+[ ,'’])"), lambda m: " "),
)  # fmt: skip


def _amount(number: str) -> str:
    whole = number.replace(",", "").partition(".")[0]
    # Seven digits without commas are a telephone or serial number.
    if "," not in number and "." not in number and len(whole) >= 7:
        return digits(whole)
    return cardinal(number)


def _set_apart(match: re.Match[str], words: str) -> str:
    text = match.string
    before = text[match.start() - 1 : match.start()]
    after = text[match.end() : match.end() + 1]
    return (" " if before.isalnum() else "") + words + (" " if after.isalnum() else "")


def _symbol(match: re.Match[str]) -> str:
    sign = match[0].strip()
    words = SYMBOLS[sign]
    after = match.string[match.end() : match.end() + 1]
    spaced = words if words.endswith(" ") else words + (" " if match[0].endswith(" ") or after.isalnum() else "")
    return spaced
