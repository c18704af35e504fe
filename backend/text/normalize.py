"""Written English as it is said: numbers, dates, money, times, units, abbreviations, addresses.

A model that reads digits well does not need it; it is on a switch. What stands in control tags, brackets of markers
or phoneme pairs is never touched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from backend.text.numbers import cardinal, decade, digits, ordinal, plural, year

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
    "₹": ("rupee", "paisa"), "US$": ("U S dollar", "cent"),
}  # fmt: skip
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
    "km²": "square kilometer", "m³": "cubic meter",
}  # fmt: skip
ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miz", "dr.": "doctor", "prof.": "professor", "sr.": "senior",
    "jr.": "junior", "gen.": "general", "col.": "colonel", "capt.": "captain", "lt.": "lieutenant",
    "sgt.": "sergeant", "rev.": "reverend", "e.g.": "for example", "i.e.": "that is", "vs.": "versus",
    "etc.": "et cetera", "approx.": "approximately", "dept.": "department", "est.": "established",
    "fig.": "figure", "vol.": "volume", "pp.": "pages", "ave.": "avenue", "blvd.": "boulevard",
}  # fmt: skip
FRACTIONS = {
    "½": "a half", "⅓": "a third", "⅔": "two thirds", "¼": "a quarter", "¾": "three quarters", "⅛": "an eighth",
    "⅕": "a fifth", "⅖": "two fifths", "⅜": "three eighths", "⅝": "five eighths", "⅞": "seven eighths",
}  # fmt: skip
PARTS = {2: "half", 3: "third", 4: "quarter"}
SYMBOLS = {"&": " and ", "@": " at ", "%": " percent", "=": " equals ", "+": " plus ", "°": " degrees", "×": " times "}
TOP_LEVEL = "com|org|net|edu|gov|io|dev|ai|app|info|co|uk|de|fr|eu|us|ca|au|jp|ch|tv|me"

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,20})?|\d{1,40}(?:\.\d{1,20})?"
NO_DIGIT_BEFORE, NO_DIGIT_AFTER = r"(?<![\w.,])", r"(?![\d]|[.,]\d)"


def normalize_english(text: str) -> str:
    """The text with everything written in figures and signs as words."""
    pieces = PROTECTED.split(text)
    # Every second piece is a protected one.
    return "".join(piece if index % 2 else _say(piece) for index, piece in enumerate(pieces))


def _say(text: str) -> str:
    text = "".join(_plain_digit(character) for character in text)
    for pattern, words in RULES:
        text = pattern.sub(words, text)
    return text


def _plain_digit(character: str) -> str:
    # Digits of other scripts and full-width ones; ² and ① are no decimals and stay.
    return str(unicodedata.decimal(character)) if character.isdecimal() and not character.isascii() else character


def _address(found: re.Match[str]) -> str:
    address = re.sub(r"^[a-z]{2,8}://|^www\.(?=.)", "", found[0], flags=re.IGNORECASE)
    address = re.sub(r"^www\.", "", address, flags=re.IGNORECASE).rstrip("/")
    signs = {".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ",
             "?": " question mark ", "=": " equals ", "&": " and ", "#": " hash ", "%": " percent ", "~": " tilde ",
             "+": " plus "}  # fmt: skip
    spoken = "".join(signs.get(character, character) for character in address)
    return " ".join(_words_and_digits(spoken).split())


def _words_and_digits(text: str) -> str:
    return re.sub(r"\d+", lambda run: f" {digits(run[0]) if len(run[0]) > 2 else cardinal(run[0])} ", text)


def _dotted(found: re.Match[str]) -> str:
    return " ".join(("v " if found[1] else "").split() + " dot ".join(map(cardinal, found[2].split("."))).split())


def _money(found: re.Match[str]) -> str:
    unit, part = CURRENCIES[found["sign"]]
    amount, scale = found["amount"].replace(",", ""), found["scale"]
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


def _money_behind(found: re.Match[str]) -> str:
    return _counted(found[1].replace(",", ""), CURRENCIES[found[2]][0])


def _counted(number: str, unit: str) -> str:
    return f"{cardinal(number)} {unit if number == '1' else _plural(unit)}"


def _plural(unit: str) -> str:
    head, rest = unit, ""
    for tail in (" per ", " Celsius", " Fahrenheit"):
        if tail in unit:
            head, rest = unit[: unit.index(tail)], unit[unit.index(tail) :]
    first, space, noun = head.rpartition(" ")
    return first + space + plural(noun) + rest


def _measure(found: re.Match[str]) -> str:
    return _counted(found["amount"].replace(",", ""), UNITS[found["unit"]])


def _abbreviation(found: re.Match[str]) -> str:
    return ABBREVIATIONS[found[0].lower()] + ("." if found[0].lower() == "etc." else "") * _ends_sentence(found)


def _ends_sentence(found: re.Match[str]) -> bool:
    """Whether the point that is about to go was the end of a sentence too."""
    after = found.string[found.end() : found.end() + 2]
    return found[0].endswith(".") and (not after.strip() or after[0] == "\n" or after[1:].isupper())


def _telephone(found: re.Match[str]) -> str:
    return ", ".join(digits(part) for part in re.findall(r"\d+", found[0]))


def speak_time(found: re.Match[str]) -> str:
    hour, minute = found["hour"], found["minute"]
    half = re.sub(r"[^apm]", "", (found["half"] or "").lower()).upper() + "." * _ends_sentence(found)
    if not minute:
        return f"{cardinal(str(int(hour)))} {half}"
    if minute == "00":
        words = cardinal(str(int(hour))) + ("" if half or int(hour) > 12 else " o'clock")
        words += " hundred" if int(hour) > 12 and not half else ""
    else:
        spoken = f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute)
        words = f"{cardinal(str(int(hour)))} {spoken}"
    return f"{words} {half}".strip()


def speak_date(day: str, month: str, of_year: str | None) -> str:
    words = f"{month} {ordinal(str(int(day)))}"
    return f"{words}, {year(of_year)}" if of_year else words


def _named_date(found: re.Match[str]) -> str:
    month = MONTH_OF.get(found["month"][:4].lower()) or MONTH_OF[found["month"][:3].lower()]
    if not month.lower().startswith(found["month"].lower()) and found["month"].lower() != "sept":
        return found[0]
    if " of " in found[0]:
        spoken_year = f", {year(found['year'])}" if found["year"] else ""
        return f"{ordinal(str(int(found['day'])))} of {month}{spoken_year}"
    return speak_date(found["day"], month, found["year"])


def _iso_date(found: re.Match[str]) -> str:
    return speak_date(found[3], MONTHS[int(found[2]) - 1], found[1])


def _american_date(found: re.Match[str]) -> str:
    return speak_date(found[2], MONTHS[int(found[1]) - 1], found[3])


def speak_fraction(found: re.Match[str]) -> str:
    above, below = int(found[1]), int(found[2])
    if not 1 < below <= 100 or above >= 100:
        return f"{cardinal(found[1])} slash {cardinal(found[2])}"
    part = PARTS.get(below) or ordinal(str(below))
    if above != 1:
        part = "halves" if below == 2 else part + "s"
    return f"{cardinal(found[1])} {part}"


RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    # Addresses first: they hold every other sign.
    (re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]{1,512}(?<![.,;:!?])"), _address),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"), _address),
    (re.compile(rf"(?<![\w@./-])[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{0,2}}\.(?:{TOP_LEVEL})(?:/[\w/.-]{{0,256}}\w)?(?![\w.-]*\w)",
                re.IGNORECASE), _address),
    (re.compile(r"(?<![\w.])(v?)(\d{1,5}(?:\.\d{1,5}){2,5})(?![\w])"), _dotted),
    (re.compile(r"(?<![\w.])(?:" + "|".join(re.escape(a[:-1]) for a in sorted(ABBREVIATIONS, key=len, reverse=True)) + r")\.",
                re.IGNORECASE), _abbreviation),
    (re.compile(r"\bSt\.(?= [A-Z])"), lambda m: "Saint"),
    (re.compile(r"\bNo\.(?= ?\d)"), lambda m: "number"),
    (re.compile(r"(?<!\w)#(?=\d)"), lambda m: "number "),
    (re.compile(r"(?<![\w/.-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])"), _iso_date),
    (re.compile(r"(?<![\w/.-])(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])/(\d{4})(?![\w/])"), _american_date),
    (re.compile(r"(?<![\w+-])(?:\+?\d{1,3}[ -])?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?![\w-])"), _telephone),
    (re.compile(r"(?<=[\d%]) ?[-–] ?(?=[$£€]?\d)"), lambda m: " to "),
    (re.compile(rf"(?P<sign>US\$|[$£€¥₹]) ?(?P<amount>{NUMBER})(?: ?(?P<scale>thousand|million|billion|trillion|bn|tn|mn|[kKmMbB])\b)?"
                rf"{NO_DIGIT_AFTER}"), _money),
    (re.compile(rf"{NO_DIGIT_BEFORE}({NUMBER}) ?([$£€¥₹])(?!\d)"), _money_behind),
    (re.compile(rf"\b{MONTH} (?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\b(?:,? (?P<year>[12]\d{{3}})\b)?{NO_DIGIT_AFTER}"),
     _named_date),
    (re.compile(rf"(?<![\w.,])(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?: of)? {MONTH}(?!\w)(?:,? (?P<year>[12]\d{{3}})\b)?"),
     _named_date),
    (re.compile(r"(?<![\w:.])(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?![:\d])(?: ?(?P<half>[ap]\.?m\.?(?!\w)))?",
                re.IGNORECASE), speak_time),
    (re.compile(r"(?<![\w:.])(?P<hour>1[0-2]|0?[1-9])(?P<minute>) ?(?P<half>[ap]\.?m\.?)(?!\w)", re.IGNORECASE), speak_time),
    (re.compile(r"(?<![\w.,])(\d{2}|[12]\d{3})'?s(?!\w)"), lambda m: decade(m[1]) if m[1].endswith("0") else m[0]),
    (re.compile(rf"{NO_DIGIT_BEFORE}(\d{{1,3}}(?:,\d{{3}})+|\d{{1,15}})(?:st|nd|rd|th)\b"), lambda m: ordinal(m[1].replace(",", ""))),
    (re.compile(rf"{NO_DIGIT_BEFORE}(?P<amount>[-−]?(?:{NUMBER})) ?(?P<unit>" + "|".join(
        re.escape(u) for u in sorted(UNITS, key=len, reverse=True)) + r")(?![\w/°'’])"), _measure),
    (re.compile(rf"(?<![\w.,])(\d) ?([{''.join(FRACTIONS)}])"), lambda m: f"{cardinal(m[1])} and {FRACTIONS[m[2]]}"),
    (re.compile(f"[{''.join(FRACTIONS)}]"), lambda m: FRACTIONS[m[0]]),
    (re.compile(r"(?<![\w./])(\d{1,6})/(\d{1,6})(?![\w/])"), speak_fraction),
    (re.compile(r"\b((?:in|since|until|till|by|before|after|during|from|around|circa|year|of|to|and|early|late|mid|©) )"
                r"(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)(?! (?:[a-z]+s|people|percent)\b)", re.IGNORECASE), lambda m: m[1] + year(m[2])),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), lambda m: "minus "),
    (re.compile(r"(?<=\d):(?=\d)"), lambda m: " "),
    # What is left: a figure inside a word is set apart, a long run of digits is read one by one.
    (re.compile(rf"(?<![\d.,])(?:{NUMBER}){NO_DIGIT_AFTER}"), lambda m: _set_apart(m, _amount(m[0]))),
    (re.compile(r"(?<=\d),(?=\d)"), lambda m: ", "),
    (re.compile(r"(?<=\d)\.(?=\d)"), lambda m: " point "),
    (re.compile(r"\d+"), lambda m: _set_apart(m, digits(m[0]))),
    (re.compile(r" ?[" + re.escape("".join(SYMBOLS)) + r"] ?"), lambda m: _symbol(m)),
    (re.compile(r" ?[²³]"), lambda m: " squared" if m[0][-1] == "²" else " cubed"),
)  # fmt: skip


def _amount(number: str) -> str:
    whole = number.replace(",", "").partition(".")[0]
    # Telephone and serial numbers: nobody writes an amount of seven digits without commas.
    if "," not in number and "." not in number and len(whole) >= 7:
        return digits(whole)
    return cardinal(number)


def _set_apart(found: re.Match[str], words: str) -> str:
    text = found.string
    before = text[found.start() - 1 : found.start()]
    after = text[found.end() : found.end() + 1]
    return (" " if before.isalnum() else "") + words + (" " if after.isalnum() else "")


def _symbol(found: re.Match[str]) -> str:
    sign = found[0].strip()
    words = SYMBOLS[sign]
    after = found.string[found.end() : found.end() + 1]
    spaced = words if words.endswith(" ") else words + (" " if found[0].endswith(" ") or after.isalnum() else "")
    return spaced
