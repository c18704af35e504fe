"""Bracket markup: `[pause:0.5s]`, `[speed:1.2]`, `[pitch:+2]`, `[voice:anna]`,
`[word](/pronunciation/)`.

`[speed:1]`, `[pitch:0]` (semitones) and `[voice:]` restore the values of the request. A backslash escapes a square bracket or another
backslash. Brackets without a colon are emotion markers of the model, not markup.
"""

from __future__ import annotations

import re

from backend.errors import BadText
from backend.text.markup.speech_script import (
    PlainText,
    Pronunciation,
    Script,
    ScriptWriter,
    checked_pause,
    checked_pitch,
    checked_speed,
)
from backend.text.phonemes.alphabets import ALPHABETS

DIRECTIVE = re.compile(
    r"\\(?P<escaped>[\\\[\]])"
    r"|\[(?P<word>[^\[\]\\\n]{1,80})\]\(/(?P<phonemes>[^/\n]{1,400})/(?P<alphabet>[a-z]{0,16})\)"
    r"|\[(?P<name>[a-z]{1,16}):(?P<value>[^\[\]\n]{0,255})\]"
)
DURATION = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(ms|s)\s*")
NUMBER = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*")
SEMITONES = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,6})?")
NAMES = ("pause", "speed", "pitch", "voice")


def parse_markup(text: str) -> Script:
    """Parse bracket markup. Raises `BadText` for invalid values, naming their position.

    Unknown bracketed names stay in the text and are reported.
    """
    writer = ScriptWriter()
    position = 0
    for match in DIRECTIVE.finditer(text):
        writer.add(PlainText(text[position : match.start()]))
        position = match.end()
        if match["escaped"]:
            # A separate span, so that it cannot form a marker with its neighbors.
            writer.add(PlainText(match["escaped"], is_final=True))
        elif match["word"]:
            writer.add(Pronunciation(match["word"], match["phonemes"], _alphabet(match["alphabet"], match)))
        elif match["name"] in NAMES:
            _apply(writer, match)
        else:
            writer.add(PlainText(match[0]))
            writer.ignore(f"'{match[0]}' at character {match.start()} is not markup; it is spoken as written")
    writer.add(PlainText(text[position:]))
    return writer.script()


def parse_duration(value: str, where: str) -> float:
    """Parse `0.5s` or `300ms` to seconds. Raises `BadText`."""
    match = DURATION.fullmatch(value)
    if not match:
        raise BadText(f"{where} has the duration '{value}'; expected a value such as 0.5s or 300ms. Correct it.")
    return checked_pause(float(match[1]) / (1000 if match[2] == "ms" else 1), where)


def _apply(writer: ScriptWriter, match: re.Match[str]) -> None:
    where = f"'{match[0][:60]}' at character {match.start()}"
    value = match["value"].strip()
    if match["name"] == "pause":
        writer.pause(parse_duration(value, where))
    elif match["name"] == "voice":
        writer.voice = value or None
    elif match["name"] == "pitch":
        if not SEMITONES.fullmatch(value):
            raise BadText(f"{where} has the pitch '{value}'; expected semitones such as +2 or -1.5. Correct it.")
        writer.pitch = checked_pitch(float(value), where)
    else:
        number = NUMBER.fullmatch(value)
        if not number:
            raise BadText(f"{where} has the speed '{value}'; expected a number such as 1.2. Correct it.")
        writer.speed = checked_speed(float(number[1]), where)


def _alphabet(name: str, match: re.Match[str]) -> str:
    if name and name not in ALPHABETS:
        raise BadText(
            f"'{match[0][:60]}' at character {match.start()} names the alphabet '{name}'; expected one of "
            f"{', '.join(ALPHABETS)}. Correct it."
        )
    return name or "ipa"
