"""A safe subset of SSML: speak, p, s, break, prosody rate and pitch, phoneme, sub, voice and say-as.

Unknown elements are reported and their text is spoken. Document types, entity declarations and processing
instructions are rejected, which prevents entity expansion and file access.
"""

from __future__ import annotations

import re
from math import log2
from xml.parsers import expat

from backend.errors import BadText, LimitExceeded
from backend.text.markup.brackets import parse_duration
from backend.text.markup.speech_script import (
    MAX_SPEED,
    MIN_SPEED,
    PlainText,
    Pronunciation,
    Script,
    ScriptWriter,
    checked_pitch,
    checked_speed,
)
from backend.text.normalization.say_as import say_as

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_ELEMENTS = 10_000

BREAK_S = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "default": 0.0, "high": 3.0, "x-high": 6.0}
HERTZ = re.compile(r"[+-]?\d{1,5}(?:\.\d{1,4})?Hz")
SEMITONES = re.compile(r"([+-]?\d{1,3}(?:\.\d{1,4})?)st")
PARAGRAPH_S = 0.4
PERCENT = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,4})?)%")
PLAIN = re.compile(r"\d{1,3}(?:\.\d{1,4})?")
ALPHABETS = {
    "ipa": "ipa",
    "x-arpabet": "arpabet",
    "arpabet": "arpabet",
    "cmu-arpabet": "arpabet",
    "x-symbols": "symbols",
}
# Supported attributes of each element; others are reported.
ATTRIBUTES = {
    "speak": {"version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation", "xml:base"},
    "p": set(), "s": set(), "break": {"time", "strength"}, "prosody": {"rate", "pitch"}, "phoneme": {"alphabet", "ph"},
    "sub": {"alias"}, "voice": {"name"}, "say-as": {"interpret-as", "format"},
}  # fmt: skip


def parse_ssml(text: str) -> Script:
    """Parse an SSML document. Raises `BadText` with line and column, and `LimitExceeded`."""
    content = text.encode("utf-8", "replace")
    if len(content) > MAX_BYTES:
        raise LimitExceeded(f"The SSML has {len(content)} bytes; the limit is {MAX_BYTES}. Send it in parts.")
    return _Reader().read(content)


class _Reader:
    """Parses a document in one pass. Elements whose text is replaced collect it first."""

    def __init__(self) -> None:
        self.writer = ScriptWriter()
        self.open: list[tuple[str, dict[str, str], str | None, float, float]] = []
        self.n_elements = 0
        self.replaced: list[str] | None = None
        self.replaced_depth = 0
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.refuse_doctype
        self.parser.ProcessingInstructionHandler = self.refuse_instruction
        # A second line of defense if a declaration passes the two handlers above.
        self.parser.EntityDeclHandler = self.refuse_doctype
        self.parser.ExternalEntityRefHandler = lambda *_: 0

    def read(self, content: bytes) -> Script:
        try:
            self.parser.Parse(content, True)
        except expat.ExpatError as error:
            raise BadText(
                f"The SSML is not well-formed at line {error.lineno}, column {error.offset} "
                f"({expat.ErrorString(error.code)}). Correct it there; write & as &amp; and < as &lt;."
            ) from error
        return self.writer.script()

    @property
    def where(self) -> str:
        return f"line {self.parser.CurrentLineNumber}, column {self.parser.CurrentColumnNumber}"

    def refuse_doctype(self, *_: object) -> None:
        raise BadText(f"The SSML declares a document type ({self.where}), which is not allowed. Remove it.")

    def refuse_instruction(self, *_: object) -> None:
        raise BadText(f"The SSML has a processing instruction ({self.where}), which is not allowed. Remove it.")

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2]
        self.n_elements += 1
        if not self.open and name != "speak":
            raise BadText(f"The SSML begins with <{name}>; expected <speak>. Put it around the whole text.")
        if len(self.open) >= MAX_DEPTH or self.n_elements > MAX_ELEMENTS:
            raise LimitExceeded(
                f"The SSML nests deeper than {MAX_DEPTH} or has more than {MAX_ELEMENTS} elements ({self.where}). "
                "Simplify it or send it in parts."
            )
        writer = self.writer
        self.open.append((name, attributes, writer.voice, writer.speed, writer.pitch))
        if name not in ATTRIBUTES:
            writer.ignore(f"<{name}> ({self.where}); its text is spoken")
            return
        for attribute in attributes.keys() - ATTRIBUTES[name]:
            writer.ignore(f"{attribute} of <{name}> ({self.where})")
        if self.replaced is not None:
            return
        if name == "break":
            writer.pause(self.pause_of(attributes))
        elif name == "prosody":
            if "rate" in attributes:
                speed = self.rate_of(attributes["rate"]) * writer.speed
                writer.speed = checked_speed(speed, f"<prosody> ({self.where})")
            if "pitch" in attributes:
                pitch = self.pitch_of(attributes["pitch"]) + writer.pitch
                writer.pitch = checked_pitch(pitch, f"<prosody> ({self.where})")
        elif name == "voice":
            if not attributes.get("name", "").strip():
                raise BadText(f"<voice> ({self.where}) has no name. Name one of the voices.")
            writer.voice = attributes["name"].strip()
        elif name in ("phoneme", "sub", "say-as"):
            self.replaced, self.replaced_depth = [], len(self.open)

    def end(self, qualified: str) -> None:
        name, attributes, voice, speed, pitch = self.open.pop()
        if self.replaced is not None and len(self.open) + 1 == self.replaced_depth:
            inside, self.replaced = "".join(self.replaced), None
            self.replace(name, attributes, inside)
        self.writer.voice, self.writer.speed, self.writer.pitch = voice, speed, pitch
        if self.replaced is None and name == "p":
            self.writer.pause(PARAGRAPH_S)
        elif self.replaced is None and name == "s":
            self.writer.add(PlainText("\n"))

    def characters(self, text: str) -> None:
        if self.replaced is not None:
            self.replaced.append(text)
        else:
            # White space in the source is not significant.
            self.writer.add(PlainText(re.sub(r"\s+", " ", text)))

    def replace(self, name: str, attributes: dict[str, str], inside: str) -> None:
        inside = re.sub(r"\s+", " ", inside)
        if name == "sub":
            self.writer.add(PlainText(self.needed("alias", name, attributes)))
        elif name == "say-as":
            kind = self.needed("interpret-as", name, attributes)
            words = say_as(inside, kind, attributes.get("format", ""))
            if words is None:
                self.writer.ignore(f"<say-as> of '{kind}' ({self.where}); its text is spoken as written")
            self.writer.add(PlainText(inside) if words is None else PlainText(words, is_final=True))
        else:
            alphabet = attributes.get("alphabet", "ipa").lower()
            if alphabet not in ALPHABETS:
                self.writer.ignore(f"the alphabet '{alphabet}' of <phoneme> ({self.where}); its text is spoken")
                self.writer.add(PlainText(inside))
            else:
                self.writer.add(Pronunciation(inside, self.needed("ph", name, attributes), ALPHABETS[alphabet]))

    def needed(self, attribute: str, name: str, attributes: dict[str, str]) -> str:
        value = attributes.get(attribute, "").strip()
        if not value:
            raise BadText(f"<{name}> ({self.where}) has no {attribute}. Add it.")
        return value

    def pause_of(self, attributes: dict[str, str]) -> float:
        where = f"<break> ({self.where})"
        if "time" in attributes:
            return parse_duration(attributes["time"].strip().removeprefix("+"), where)
        strength = attributes.get("strength", "medium")
        if strength not in BREAK_S:
            raise BadText(f"{where} has the strength '{strength}'; expected one of {', '.join(BREAK_S)}. Correct it.")
        return BREAK_S[strength]

    def pitch_of(self, pitch: str) -> float:
        """Parse `high`, `+2st` or `+10%` to semitones. Values in hertz are reported and ignored."""
        pitch = pitch.strip()
        if pitch in PITCHES:
            return PITCHES[pitch]
        if semitones := SEMITONES.fullmatch(pitch):
            return float(semitones[1])
        percent = PERCENT.fullmatch(pitch)
        ratio = 1 + float(percent[1] + percent[2]) / 100 if percent and percent[1] else 0.0
        if ratio > 0:
            return 12 * log2(ratio)
        if HERTZ.fullmatch(pitch):
            self.writer.ignore(f"pitch '{pitch}' of <prosody> ({self.where}); expected semitones or a percentage")
            return 0.0
        raise BadText(
            f"<prosody> ({self.where}) has the pitch '{pitch}'; expected {', '.join(PITCHES)}, semitones such as +2st, or "
            "a percentage such as +10%. Correct it."
        )

    def rate_of(self, rate: str) -> float:
        rate = rate.strip()
        if rate in RATES:
            return RATES[rate]
        percent = PERCENT.fullmatch(rate)
        if percent and percent[1]:
            return 1 + float(percent[1] + percent[2]) / 100
        if percent:
            return float(percent[2]) / 100
        if PLAIN.fullmatch(rate):
            return float(rate)
        raise BadText(
            f"<prosody> ({self.where}) has the rate '{rate}'; expected {', '.join(RATES)}, a percentage such as 120% or "
            f"+20%, or a number from {MIN_SPEED:g} to {MAX_SPEED:g}. Correct it."
        )
