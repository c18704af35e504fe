"""Signs: note marks, powers and indices, formulas, operators, and marks of Markdown."""

from __future__ import annotations

import re
import unicodedata

from backend.text.normalization.numbers import cardinal, digits, ordinal
from backend.text.normalization.rule import rule

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
PLAIN = str.maketrans(SUPERSCRIPTS + SUBSCRIPTS + "⁺⁻₊₋", "0123456789" * 2 + "+-+-")
POWERS = {"2": "squared", "3": "cubed"}
SYMBOLS = {
    "&": " and ", "@": " at ", "%": " percent", "=": " equals ", "+": " plus ", "°": " degrees", "×": " times ",
    "÷": " divided by ", "±": " plus or minus ", "≤": " less than or equal to ", "≥": " greater than or equal to ",
    "≠": " is not equal to ", "≈": " about ", "√": " square root of ", "∞": " infinity",
}  # fmt: skip
# Elements whose symbol has two letters; with C, H, N, O and S they make up most written formulas.
ELEMENTS = "Na|Ca|Cl|Fe|Mg|Al|Si|Zn|Cu|Ag|Au|Pb|Li|Mn|Br|Ba|Ti|Cr|Ni|Hg|He|Ne|Ar"
FORMULA = rf"(?:(?:{ELEMENTS}|[CHNOSPKF])\d{{0,2}}){{2,8}}"


def _space_after(match: re.Match[str]) -> str:
    return " " * match.string[match.end() : match.end() + 1].isalnum()


def _power(match: re.Match[str]) -> str:
    written = match[1].translate(PLAIN)
    if written in POWERS:
        return f" {POWERS[written]}{_space_after(match)}"
    sign, number = ("minus ", written[1:]) if written[0] == "-" else ("", written.lstrip("+"))
    return f" to the {sign}{ordinal(number)}{_space_after(match)}" if number else match[0]


def _index(match: re.Match[str]) -> str:
    number = match[0].translate(PLAIN)
    return f" {cardinal(number)}{_space_after(match)}"


def _formula(match: re.Match[str]) -> str:
    """Letters one by one and digits as numbers: `H2SO4` as H two S O four; not for names such as `CSS3`."""
    written = match[0].translate(PLAIN)
    parts = re.findall(rf"({ELEMENTS}|[CHNOSPKF])(\d{{0,2}})", written)
    symbols = [symbol for symbol, _ in parts]
    is_plain = all(symbol in ("C", "H", "N", "O", "S") for symbol in symbols)
    is_formula = any(count for _, count in parts) and len(set(symbols)) > 1 and (
        match[0] != written or any(len(symbol) == 2 for symbol in symbols) or (is_plain and len(set(symbols)) == len(symbols))
        or (is_plain and len(symbols) > 3)
    )  # fmt: skip
    if not is_formula:
        return match[0]
    words = []
    for symbol, count in parts:
        words += [*symbol.upper(), cardinal(count)] if count else [*symbol.upper()]
    return " ".join(words)


def _symbol(match: re.Match[str]) -> str:
    words = SYMBOLS[match[0].strip()]
    words = words.lstrip() if match.start() == 0 else words
    after = match.string[match.end() : match.end() + 1]
    return words if words.endswith(" ") else words + (" " if match[0].endswith(" ") or after.isalnum() else "")


def plain_digits(text: str) -> str:
    """Digits of other scripts, and full-width ones, as ASCII; fraction slashes as `/`."""
    text = text.replace("⁄", "/").replace("∕", "/")
    return "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text
    )  # fmt: skip


NOTES = (
    rule("note mark in brackets", r"(?<=[\w.,;:!?\"'”’)])\[(?:\^?\d{1,3}|\^[\w-]{1,20}|[*†‡])\]", "",
         ("It was proven twice.[3] Nobody cared.", "It was proven twice. Nobody cared."),
         ("as said[^1] before", "as said before"), ("the list [3] here", "the list [three] here")),
    rule("raised note mark", rf"(?<=[a-z]{{3}}[.,;:!?\"”’])[{SUPERSCRIPTS}]{{1,3}}|(?<=[a-z]{{4}})[{SUPERSCRIPTS}]{{1,3}}(?=[\s.,;:!?]|$)", "",
         ("He left.² She stayed.", "He left. She stayed."), ("as shown³ before", "as shown before"),
         ("5 km² of it", "five square kilometers of it")),
    rule("note mark after a sentence", r"(?<=[a-z]{2}[.!?])(?<!\bno\.)(?<!\bfig\.)(?<!\bvol\.)(?<!\bpp\.)(?<!\bch\.)(?<!\bsec\.)(?<!\bnos\.)\d{1,2}(?=[ \n]+[\"“‘']?[A-Z]|$)", "",
         ("The end was near.1 Then it rained.", "The end was near. Then it rained."),
         ("See vol.2 There it is.", "See volume two There it is.")),
    rule("dagger", r"(?<=\w)[†‡](?=[\s.,;:!?]|$)", "", ("the king† died", "the king died")),
)  # fmt: skip

FORMULAS = (
    rule("formula", rf"(?<![\w.-])(?=\S{{0,20}}[\d{SUBSCRIPTS}]){FORMULA.replace('d{0,2}', f'd{SUBSCRIPTS}]{{0,2}}').replace(chr(92) + 'd', '[' + chr(92) + 'd', 1)}(?![\w-])", _formula,
         ("The CO2 levels rose.", "The C O two levels rose."), ("It is H₂SO₄ in here.", "It is H two S O four in here."),
         ("C6H12O6 and CaCO3", "C six H twelve O six and C A C O three"), ("H2O", "H two O"),
         ("B2B, CSS3 and PS5", "B two B, CSS three and PS five")),
)  # fmt: skip

POWERS_AND_INDICES = (
    rule("power", rf"(?<=[\w)\]]) ?([⁺⁻]?[{SUPERSCRIPTS}]{{1,4}})", _power,
         ("There are 10⁶ cells.", "There are ten to the sixth cells."),
         ("It holds 6.02×10²³ atoms.", "It holds six point zero two times ten to the twenty-third atoms."),
         ("It is 10⁻³ of that.", "It is ten to the minus third of that."), ("x² + y³", "x squared plus y cubed")),
    rule("power with a caret", r"(?<=[\w)])\^\(?([-−]?\d{1,4})\)?", lambda m: _caret(m),
         ("10^6 and x^2", "ten to the sixth and x squared"), ("2^-3", "two to the minus third")),
    rule("index", rf"[{SUBSCRIPTS}]{{1,4}}", _index,
         ("It has x₁ and y₀.", "It has x one and y zero.")),
)  # fmt: skip


def _caret(match: re.Match[str]) -> str:
    written = match[1].replace("−", "-")
    if written in POWERS:
        return f" {POWERS[written]}{_space_after(match)}"
    sign, number = ("minus ", written[1:]) if written[0] == "-" else ("", written)
    return f" to the {sign}{ordinal(number)}{_space_after(match)}"


OPERATORS = (
    rule("double ampersand", r" ?&& ?", " and ", ("Run it && go on.", "Run it and go on.")),
    rule("double bar", r" \|\| ", " or ", ("a || b", "a or b")),
    rule("symbol", r" ?[" + re.escape("".join(SYMBOLS)) + r"] ?", _symbol,
         ("50%, 3.5%", "fifty percent, three point five percent"), ("AT&T, 2+2=4", "AT and T, two plus two equals four"),
         ("y ≤ 3 ± 1 ≠ 6 ÷ 2", "y less than or equal to three plus or minus one is not equal to six divided by two")),
    rule("leftover power", rf" ?[{SUPERSCRIPTS}]{{1,4}}", lambda m: f" {digits(m[0].strip().translate(PLAIN))}"),
)  # fmt: skip

MUSICAL_SHARPS = (
    rule("musical sharp", r"\b([CF])#(?!\w)", lambda m: f"{m[1]} sharp", ("C#", "C sharp")),
)  # fmt: skip

MARKDOWN = (
    rule("heading mark", r"^(?:#{1,6}[ \t]+){1,9}(?=[^\s#])", "", ("# Title\nText", "Title\nText"), multiline=True),
    rule("strikethrough", r"~{2,}", "", ("A ~~struck~~ word", "A struck word")),
    rule("missing space after a sentence", r"(?<=[a-z]{2}[!?])(?=[A-Z])|(?<=[a-z]{2}\.)(?=[A-Z][a-z]+[ ,'’])", " ",
         ("Fine.How are you?I am well.", "Fine. How are you? I am well."), ("Node.js", "Node.js")),
)  # fmt: skip
