"""The body of `POST /tts`: every field with its bound, in JSON or as a form."""

from __future__ import annotations

import base64
import binascii
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from backend.audio.files import FILE_FORMATS
from backend.audio.writers import FORMATS
from backend.errors import BadRequest
from backend.runtime.request import (
    BOUNDS,
    MAX_REFERENCES,
    MAX_VOICE_CHARS,
    Latency,
    Markup,
    ReferenceClip,
    SpeechRequest,
)

Format = Literal["wav", "pcm", "flac", "mp3", "opus", "aac", "m4b", "ogg"]
assert set(Format.__args__) == {*FILE_FORMATS, *FORMATS}, "a format that can be written is missing here"  # type: ignore[attr-defined]

# One place holds defaults and bounds: the request the engine takes.
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(SpeechRequest)}


# Base64 is read in parts, since one long call lets no other thread run meanwhile.
PART_CHARS = 2**18


def bounded(name: str, description: str) -> Any:
    """A field with the default and the bounds of the engine's request."""
    low, high = BOUNDS[name]
    return Field(DEFAULTS[name], ge=low, le=high, description=description)


def _sound_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parts = [
            base64.b64decode(value[at : at + PART_CHARS], validate=True) for at in range(0, len(value), PART_CHARS)
        ]
    except (binascii.Error, ValueError):
        parts = []
    # Only the last part may be padded.
    if any(len(part) != PART_CHARS // 4 * 3 for part in parts[:-1]) or (value and not parts):
        raise ValueError("expected the bytes of a sound file in base64")
    return b"".join(parts)


Sound = Annotated[
    bytes,
    BeforeValidator(_sound_bytes),
    WithJsonSchema({"type": "string", "format": "byte", "description": "A WAV, FLAC, Ogg or MP3 file in base64."}),
]


class Reference(BaseModel):
    """A recording of the voice to speak with."""

    model_config = ConfigDict(extra="forbid")

    audio: Sound
    text: str = Field("", max_length=5000, description="The words said in it; leave empty if unknown.")


class SpeechBody(BaseModel):
    """What to say, and how. A field left out, or null, is left to the checkpoint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "Hello, world.", "seed": 7},
                {"text": "Piece by piece.", "streaming": True, "format": "pcm"},
            ]
        },
    )

    text: str = Field(min_length=1, pattern=r"\S", description="The text to speak.")
    voice: str | None = Field(None, min_length=1, max_length=MAX_VOICE_CHARS, description="An id of `GET /voices`.")
    reference_id: str | None = Field(
        None, min_length=1, max_length=MAX_VOICE_CHARS, description="Another name for `voice`."
    )
    references: list[Reference] = Field(
        [], max_length=MAX_REFERENCES, description="Recordings of the voice to speak with, instead of `voice`."
    )
    fit_reference: bool = Field(
        DEFAULTS["fit_reference"],
        description="Fit the voice to the references first: seconds once, and it is more alike. Needs their words.",
    )
    format: Format = Field("wav", description="File format of the answer; `pcm` is bare 16-bit little-endian samples.")
    streaming: bool = Field(False, description="Send sound as it is made (every format but ogg).")
    seed: int | None = bounded("seed", "The same seed gives the same speech.")
    temperature: float | None = bounded("temperature", "0 always takes the likeliest code.")
    top_p: float | None = bounded("top_p", "Choose among the likeliest codes of this mass.")
    top_k: int | None = bounded("top_k", "Choose among this many likeliest codes.")
    min_p: float | None = bounded("min_p", "Drop codes below this share of the likeliest.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Above 1 avoids recent codes.")
    max_new_tokens: int | None = bounded("max_new_tokens", "Most frames of one piece of the text.")
    chunk_length: int | None = bounded("chunk_length", "Speak long text in pieces of about this many bytes.")
    normalize: bool = Field(DEFAULTS["normalize"], description="Read numbers, dates and the like as words.")
    speed: float = bounded("speed", "2 speaks in half the time, at the same pitch.")
    pitch: float = bounded("pitch", "Move the voice by so many semitones; speed and timbre stay.")
    markup: Markup = Field(DEFAULTS["markup"], description="How to read marks in the text.")
    latency: Latency = Field(
        DEFAULTS["latency"], description="`low` sends the first sound sooner, at some cost in total time."
    )
    loudness_lufs: float | None = bounded("loudness_lufs", "Bring the whole to this loudness; sent in one piece.")
    timeout_s: float | None = bounded("timeout_s", "Give up when the whole takes longer, waiting included.")
    use_memory_cache: Literal["on", "off"] | bool = Field(
        "on" if DEFAULTS["use_memory_cache"] else "off", description="Reuse work on references and texts seen before."
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name not in cls.model_fields}

    def to_request(self) -> SpeechRequest:
        """The same as the engine takes it. Raises `BadRequest` if fields contradict each other."""
        if self.voice and self.reference_id and self.voice != self.reference_id:
            raise BadRequest("Got both voice and reference_id, and they differ; they mean the same. Send one of them.")
        if self.streaming and self.format not in FORMATS:
            raise BadRequest(
                f"Cannot stream '{self.format}'; the formats that stream are {', '.join(FORMATS)}. "
                "Choose one of them, or leave streaming off."
            )
        own = {"voice", "reference_id", "references", "format", "streaming", "use_memory_cache"}
        return SpeechRequest(
            **self.model_dump(exclude=own),
            voice=self.voice or self.reference_id,
            whole=not self.streaming,
            references=tuple(ReferenceClip(clip.audio, clip.text) for clip in self.references),
            use_memory_cache=self.use_memory_cache in ("on", True),
        )


def json_schema() -> dict[str, Any]:
    """The schema of the JSON body, complete in itself."""
    schema = SpeechBody.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["references"]["items"] = definitions["Reference"]
    return schema


def form_schema() -> dict[str, Any]:
    """The schema of the form: as the JSON body, but recordings are uploaded files."""
    schema = json_schema()
    del schema["properties"]["references"], schema["examples"]
    schema["title"] = "SpeechForm"
    schema["properties"] |= {
        "reference_audio": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Recordings of the voice to speak with: WAV, FLAC, Ogg or MP3 files.",
        },
        "reference_text": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The words said in each recording, in the same order.",
        },
    }
    return schema
