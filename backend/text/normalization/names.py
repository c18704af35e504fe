"""Abbreviations, titles, streets and postcodes, Roman numerals."""

from __future__ import annotations

import re

from backend.text.normalization.numbers import cardinal, digits, letters, ordinal
from backend.text.normalization.rule import alternatives, ends_sentence, rule

ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "dr.": "doctor", "prof.": "professor", "sr.": "senior",
    "jr.": "junior", "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "a.k.a.": "also known as",
    "etc.": "et cetera", "approx.": "approximately", "dept.": "department", "ave.": "avenue", "blvd.": "boulevard",
}  # fmt: skip
# The period of these may end the sentence too.
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
STREETS = {
    "St": "Street", "Rd": "Road", "Ave": "Avenue", "Blvd": "Boulevard", "Ln": "Lane", "Ct": "Court", "Sq": "Square",
    "Hwy": "Highway", "Pkwy": "Parkway", "Dr": "Drive",
}  # fmt: skip
# "St." after these is a saint: Mount St. Helens, Port St. Lucie.
BEFORE_SAINTS = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Mount|Mt|Mont|Port|Fort|Ft|Sault|Bury|Old|New|Cape|Lake|The|And|At|In|On|Of|Near|From|To|By|For|With|Is|Was"
# A street's name follows a house number or one of these.
BEFORE_STREETS = (
    r"(?:\d{1,5}[A-Za-z]?|\b(?:on|at|down|along|off|onto|up|across|from|to|and|of|near|between|by|past|into|in|the))"
)
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
ROMAN = r"(?=[IVXL])(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
# Names of rulers and popes: the numeral after them is an ordinal, as after a first and a last name.
RULERS = frozenset(
    [
        "Abbas",
        "Abdullah",
        "Alexander",
        "Alexandra",
        "Alfonso",
        "Amenhotep",
        "Anne",
        "Antiochus",
        "Baldwin",
        "Basil",
        "Benedict",
        "Boniface",
        "Carl",
        "Catherine",
        "Charles",
        "Christian",
        "Christina",
        "Claudius",
        "Clement",
        "Clovis",
        "Conrad",
        "Constantine",
        "Cyrus",
        "Darius",
        "David",
        "Edgar",
        "Edmund",
        "Edward",
        "Edwin",
        "Elizabeth",
        "Emmanuel",
        "Eric",
        "Ernest",
        "Ferdinand",
        "Francis",
        "Franz",
        "Frederick",
        "Friedrich",
        "Fuad",
        "George",
        "Gregory",
        "Gustav",
        "Haakon",
        "Harald",
        "Harold",
        "Hassan",
        "Henri",
        "Henry",
        "Hussein",
        "Innocent",
        "Isabella",
        "Ivan",
        "James",
        "John",
        "Joseph",
        "Julius",
        "Justinian",
        "Kamehameha",
        "Leo",
        "Leopold",
        "Lothair",
        "Louis",
        "Ludwig",
        "Magnus",
        "Malcolm",
        "Manuel",
        "Margaret",
        "Margrethe",
        "Maria",
        "Mary",
        "Matilda",
        "Maximilian",
        "Mehmed",
        "Michael",
        "Mohammed",
        "Murad",
        "Napoleon",
        "Nicholas",
        "Olaf",
        "Olav",
        "Oscar",
        "Osman",
        "Otto",
        "Paul",
        "Pedro",
        "Peter",
        "Philip",
        "Philippe",
        "Pius",
        "Ptolemy",
        "Rama",
        "Ramesses",
        "Ramses",
        "Rainier",
        "Richard",
        "Robert",
        "Rudolf",
        "Rudolph",
        "Rupert",
        "Samuel",
        "Selim",
        "Seti",
        "Sigismund",
        "Sixtus",
        "Stephen",
        "Suleiman",
        "Theodore",
        "Theodosius",
        "Thomas",
        "Thutmose",
        "Tiberius",
        "Umberto",
        "Urban",
        "Valentinian",
        "Victor",
        "Vittorio",
        "Vladimir",
        "Walter",
        "Wilhelm",
        "William",
        "Xerxes",
        "Zog",
    ]
)
TITLES = (
    r"(?:King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Sultan|Pharaoh|Shah|Prince|Princess|Duke|Patriarch|Saint)"
)
NUMBERED = r"(?:chapter|part|act|scene|section|volume|book|appendix|pages?|figure|table|step|phase)"


def _abbreviation(match: re.Match[str]) -> str:
    written = match[0].lower()
    return ABBREVIATIONS[written] + ("." if written in MAYBE_LAST and ends_sentence(match) else "")


def _street(match: re.Match[str]) -> str:
    return f"{match[1]} {STREETS[match[2]]}" + ("." if ends_sentence(match) else "")


def roman_value(numeral: str) -> int:
    """The value of a Roman numeral in small letters: `xiv` is 14."""
    values = [ROMAN_VALUES[letter] for letter in numeral]
    signed = (-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))
    return sum(signed)


def _roman(numeral: str) -> str:
    return cardinal(str(roman_value(numeral.lower())))


def _postcode(match: re.Match[str]) -> str:
    return match[1] + ", ".join(digits(part) for part in match[2].split("-"))


RULES = (
    # Street names first: their "St." and "Dr." are no saints and doctors.
    rule("street",
         rf"({BEFORE_STREETS} (?:[NSEW]\.? )?(?!(?:{BEFORE_SAINTS})\b)(?:\d{{1,3}}(?:st|nd|rd|th)|[A-Z][a-z]{{1,24}}(?: [A-Z][a-z]{{1,24}}){{0,2}}))"
         rf" ({alternatives(STREETS)})\b(?!(?<=Dr)\. [A-Z])\.?",
         _street,
         ("Turn left on Main St. Then stop.", "Turn left on Main Street. Then stop."),
         ("She lives at 12 Oak Dr. in town.", "She lives at twelve Oak Drive in town."),
         ("off Sunset Blvd., near Hill Rd.", "off Sunset Boulevard, near Hill Road."),
         ("We saw Mount St. Helens.", "We saw Mount Saint Helens."),
         ("He went to see Dr. Brown.", "He went to see doctor Brown."),
         ("on 5th Ave. He left.", "on fifth Avenue. He left.")),
    rule("street without a period", r"\b([A-Z][a-z]{1,24}) St(?=[,;!?]?(?: [a-z]|$))", lambda m: f"{m[1]} Street",
         ("on Main St", "on Main Street"), ("Main St, then home", "Main Street, then home")),
    rule("abbreviation", r"(?<![\w.])(?:" + alternatives(a[:-1] for a in ABBREVIATIONS) + r")\.", _abbreviation,
         ("Dr. Lee vs. Mr. Ray, e.g. here, etc.", "doctor Lee versus mister Ray, for example here, et cetera."),
         ("Cats, dogs, etc. They came.", "Cats, dogs, et cetera. They came."), ignore_case=True),
    rule("title before a name", rf"\b({'|'.join(BEFORE_NAMES)})\.(?= [A-Z][\w'’.])", lambda m: BEFORE_NAMES[m[1]],
         ("St. James and Gov. Smith", "Saint James and Governor Smith"),
         ("The gen. is here.", "The gen. is here.")),
    rule("label before a number", rf"(?<![\w.])({'|'.join(BEFORE_NUMBERS)})\.(?= ?\d)",
         lambda m: BEFORE_NUMBERS[m[1].lower()] + ("" if m.string[m.end()] == " " else " "),
         ("See p. 5, ch. 2, fig. 4.", "See page five, chapter two, figure four."),
         ("I ate a fig. It was good.", "I ate a fig. It was good."), ignore_case=True),
    rule("number sign", r"(?<!\w)#(?=\d)", "number ", ("#5", "number five"), ("No. 10", "number ten")),
    rule("postcode", r"\b([A-Z]{2} )(\d{5}(?:-\d{4})?)(?![\w-])", _postcode,
         ("Beverly Hills, CA 90210 is far.", "Beverly Hills, CA nine zero two one zero is far."),
         ("NY 10001-2345", "NY one zero zero zero one, two three four five"),
         ("It took us 90210 steps.", "It took us ninety thousand two hundred and ten steps.")),
    rule("British postcode", r"\b([A-Z]{1,2}\d[\dA-Z]?) (\d[A-Z]{2})\b", lambda m: f"{letters(m[1])}, {letters(m[2])}",
         ("London SW1A 1AA", "London S W one A, one A A"), ("M1 1AE", "M one, one A E")),
    rule("Roman numeral of a part", rf"\b({NUMBERED} )(?=[ivxlc]{{2}})((?:xc|xl|l?x{{0,3}})(?:ix|iv|v?i{{0,3}}))\b",
         lambda m: m[1] + (_roman(m[2]) if m[2].islower() else m[2]),
         ("Act II, scene iii, page xii, part i", "Act II, scene three, page twelve, part i"), ignore_case=True),
    rule("Roman numeral in parentheses", r"(?<!\w)\((i{1,3}|iv|vi{0,3}|ix)\)", lambda m: f"({_roman(m[1])})",
         ("(iv)", "(four)"), ("(x)", "(x)")),
    rule("Roman numeral of a person", rf"\b({TITLES} )?(?:[A-Z][a-z]{{1,20}} )??([A-Z][a-z]{{1,20}}) ((?=[IVXL]{{2}}){ROMAN}|V(?=['’]s)|X(?=['’]s))(['’]s)?(?![\w'’.-]\w|\w)",
         lambda m: _numeral(m),
         ("Henry VIII's wives were many.", "Henry the eighth's wives were many."),
         ("World War II's end was near.", "World War two's end was near."),
         ("Pope John XXIII was kind.", "Pope John the twenty-third was kind."),
         ("Louis XIV and Final Fantasy VII", "Louis the fourteenth and Final Fantasy seven"),
         ("Chapter IV begins.", "Chapter IV begins."),
         ("John Paul II spoke.", "John Paul the second spoke."),
         ("Super Bowl XLII", "Super Bowl forty-two")),
    rule("first of a name", rf"\b({TITLES} [A-Z][a-z]{{1,20}}|(?:Elizabeth|Charles|James|George|Francis|Napoleon|Nicholas|Peter|Leopold|Wilhelm)) I(?=['’]s\b|[,.;:)](?!\w)| (?:of|was|is|had|ruled|died|became|reigned)\b)",
         lambda m: f"{m[1]} the first",
         ("Elizabeth I was queen.", "Elizabeth the first was queen."),
         ("King George I's son", "King George the first's son"),
         ("James and I was late.", "James and I was late.")),
)  # fmt: skip


def _numeral(match: re.Match[str]) -> str:
    title, name, numeral, tail = match[1], match[2], match[3], match[4] or ""
    start = match[0][: match.start(3) - match.start()]
    words = start.split()
    if re.fullmatch(NUMBERED, name, re.IGNORECASE) and not tail:
        return match[0]  # "Chapter IV": the reader knows it
    value = str(roman_value(numeral.lower()))
    is_person = bool(title) or name in RULERS or (len(words) == 2 and words[0] in RULERS)
    return f"{start}{'the ' + ordinal(value) if is_person else cardinal(value)}{tail}"
