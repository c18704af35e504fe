"""Our own markup, inside the text: `[pause:0.5s]`, `[speed:1.2]`, `[pitch:+2]`, `[voice:anna]`,
`[word](/pronunciation/)`.

`[speed:1]`, `[pitch:0]` (semitones) and `[voice:]` lead back to what the request asked for. A backslash before a square bracket or another
backslash makes it an ordinary character. Brackets without a colon are markers of the model, and none of ours.
"""

from __future__ import annotations

import re

from backend.errors import BadText
from backend.text.markup.speech_script import (
    Pause,
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
    """The script of a text with our markup. Raises `BadText` for values that cannot be, naming their place.

    Bracketed names that are not ours stay in the text and are reported.
    """
    writer = ScriptWriter()
    position = 0
    for found in DIRECTIVE.finditer(text):
        writer.say(PlainText(text[position : found.start()]))
        position = found.end()
        if found["escaped"]:
            # Apart from its neighbors, so that no marker comes about that was not meant.
            writer.say(PlainText(found["escaped"], is_final=True))
        elif found["word"]:
            writer.say(Pronunciation(found["word"], found["phonemes"], _alphabet(found["alphabet"], found)))
        elif found["name"] in NAMES:
            _obey(writer, found)
        else:
            writer.say(PlainText(found[0]))
            writer.ignore(f"'{found[0]}' at character {found.start()} is no markup; it is spoken as it stands")
    writer.say(PlainText(text[position:]))
    return writer.script()


def write_markup(script: Script) -> str:
    """A text that `parse_markup` reads as this script. Words that are final lose that mark, escaped brackets aside."""
    parts: list[str] = []
    voice, speed, pitch = None, 1.0, 0.0
    for piece in script.pieces:
        if isinstance(piece, Pause):
            parts.append(f"[pause:{_number(piece.duration_s)}s]")
            continue
        if piece.voice != voice:
            parts.append(f"[voice:{piece.voice or ''}]")
        if piece.speed != speed:
            parts.append(f"[speed:{_number(piece.speed)}]")
        if piece.pitch != pitch:
            parts.append(f"[pitch:{_number(piece.pitch)}]")
        voice, speed, pitch = piece.voice, piece.speed, piece.pitch
        for span in piece.spans:
            if isinstance(span, PlainText):
                parts.append(re.sub(r"([\\\[\]])", r"\\\1", span.text))
            else:
                alphabet = "" if span.alphabet == "ipa" else span.alphabet
                parts.append(f"[{span.word}](/{span.phonemes}/{alphabet})")
    return "".join(parts)


def parse_duration(value: str, where: str) -> float:
    """Seconds of `0.5s` or `300ms`. Raises `BadText`."""
    found = DURATION.fullmatch(value)
    if not found:
        raise BadText(f"{where} has the duration '{value}'; expected such as 0.5s or 300ms. Correct it.")
    return checked_pause(float(found[1]) / (1000 if found[2] == "ms" else 1), where)


def _obey(writer: ScriptWriter, found: re.Match[str]) -> None:
    where = f"'{found[0][:60]}' at character {found.start()}"
    value = found["value"].strip()
    if found["name"] == "pause":
        writer.pause(parse_duration(value, where))
    elif found["name"] == "voice":
        writer.voice = value or None
    elif found["name"] == "pitch":
        if not SEMITONES.fullmatch(value):
            raise BadText(f"{where} has the pitch '{value}'; expected semitones such as +2 or -1.5. Correct it.")
        writer.pitch = checked_pitch(float(value), where)
    else:
        number = NUMBER.fullmatch(value)
        if not number:
            raise BadText(f"{where} has the speed '{value}'; expected a number such as 1.2. Correct it.")
        writer.speed = checked_speed(float(number[1]), where)


def _alphabet(name: str, found: re.Match[str]) -> str:
    if name and name not in ALPHABETS:
        raise BadText(
            f"'{found[0][:60]}' at character {found.start()} names the alphabet '{name}'; known are "
            f"{', '.join(ALPHABETS)}. Choose one of them."
        )
    return name or "ipa"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
