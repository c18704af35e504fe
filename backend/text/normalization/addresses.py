"""Web and mail addresses, version numbers and other names with dots in them."""

from __future__ import annotations

import re

from backend.text.normalization.numbers import cardinal, digits
from backend.text.normalization.rule import rule

TOP_LEVEL = "com|org|net|edu|gov|io|dev|ai|app|info|co|uk|de|fr|eu|us|ca|au|jp|ch|tv|me"
SIGNS = {
    ".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ",
    "?": " question mark ", "=": " equals ", "&": " and ", "#": " hash ", "%": " percent ", "~": " tilde ", "+": " plus ",
}  # fmt: skip


def _address(match: re.Match[str]) -> str:
    address = re.sub(r"^[a-z]{2,8}://|^www\.(?=.)", "", match[0], flags=re.IGNORECASE)
    address = re.sub(r"^www\.", "", address, flags=re.IGNORECASE).rstrip("/")
    spoken = "".join(SIGNS.get(character, character) for character in address)
    return " ".join(_words_and_digits(spoken).split())


def _words_and_digits(text: str) -> str:
    return re.sub(r"\d+", lambda run: f" {digits(run[0]) if len(run[0]) > 2 else cardinal(run[0])} ", text)


def _dotted(match: re.Match[str]) -> str:
    return " ".join(("v " if match[1] else "").split() + " dot ".join(map(cardinal, match[2].split("."))).split())


ADDRESSES = (
    rule("web address", r"\b(?:https?://|www\.)[^\s<>\"')\]]{1,512}(?<![.,;:!?])", _address,
         ("https://www.example.com/a-b?x=1.", "example dot com slash a dash b question mark x equals one."),
         ("See http://a.io/2024.", "See a dot io slash two zero two four.")),
    rule("mail address", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", _address,
         ("Mail john.doe@mail.com now.", "Mail john dot doe at mail dot com now."),
         ("Meet @ noon.", "Meet at noon.")),
    rule("domain name", rf"(?<![\w@./-])[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{0,2}}\.(?:{TOP_LEVEL})(?:/[\w/.-]{{0,256}}\w)?(?![\w.-]*\w)",
         _address,
         ("See example.org!", "See example dot org!"), ("Node.js and a.b", "Node.js and a.b"), ignore_case=True),
)  # fmt: skip

VERSIONS = (
    rule("version", r"(?<![\w.])(v?)(\d{1,5}(?:\.\d{1,5}){2,5})(?![\w])(?!,\d)", _dotted,
         ("v1.2.3 is out", "v one dot two dot three is out"),
         ("at 10.0.0.1", "at ten dot zero dot zero dot one"),
         ("Python 3.11.7", "Python three dot eleven dot seven")),
)  # fmt: skip
