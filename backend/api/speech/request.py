"""Body of `POST /tts`, as JSON or a form: fields, bounds and parsing."""

from __future__ import annotations

import base64
import binascii
from dataclasses import fields
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.api.request_parsing import (
    RequestModel,
    check_text_length,
    content_type,
    parse,
    read_form,
    read_json,
    unsupported_media_type,
)
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
assert set(Format.__args__) == {*FILE_FORMATS, *FORMATS}, "Format lacks a writable format"  # type: ignore[attr-defined]

# The engine's request owns all defaults and bounds.
DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(SpeechRequest)}

# Base64 is decoded in parts, because one long call blocks all other threads.
PART_CHARS = 2**18


def bounded(name: str, description: str) -> Any:
    """Returns a field with the default and the bounds of `SpeechRequest`."""
    low, high = BOUNDS[name]
    return Field(DEFAULTS[name], ge=low, le=high, description=description)


def _decode_base64(value: Any) -> Any:
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
        raise ValueError("expected the bytes of an audio file in base64")
    return b"".join(parts)


Base64Audio = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    WithJsonSchema({"type": "string", "format": "byte", "description": "A WAV, FLAC, Ogg or MP3 file in base64."}),
]


class Reference(RequestModel):
    """Reference audio for voice cloning."""

    model_config = ConfigDict(extra="forbid")

    audio: Base64Audio
    text: str = Field("", max_length=5000, description="Transcript of the audio; empty if unknown.")


class SpeechBody(RequestModel):
    """Text to synthesize, with its parameters. Omitted or null fields use the defaults of the checkpoint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "Hello, world.", "seed": 7},
                {"text": "Piece by piece.", "streaming": True, "format": "pcm"},
            ]
        },
    )

    text: str = Field(min_length=1, pattern=r"\S", description="Text to synthesize.")
    voice: str | None = Field(
        None, min_length=1, max_length=MAX_VOICE_CHARS, description="Voice id from `GET /voices`."
    )
    reference_id: str | None = Field(None, min_length=1, max_length=MAX_VOICE_CHARS, description="Alias of `voice`.")
    references: list[Reference] = Field(
        [], max_length=MAX_REFERENCES, description="Reference audio for voice cloning, instead of `voice`."
    )
    fit_reference: bool = Field(
        DEFAULTS["fit_reference"],
        description="Adapt the voice to the references first: takes seconds once and raises similarity. "
        "Needs their transcripts.",
    )
    format: Format = Field("wav", description="Audio format; `pcm` is raw 16-bit little-endian samples.")
    streaming: bool = Field(False, description="Stream audio while it is generated (all formats except ogg).")
    seed: int | None = bounded("seed", "The same seed reproduces the same speech.")
    temperature: float | None = bounded("temperature", "0 always picks the most likely code.")
    top_p: float | None = bounded("top_p", "Nucleus sampling: keep the most likely codes with this total probability.")
    top_k: int | None = bounded("top_k", "Keep this many of the most likely codes.")
    min_p: float | None = bounded("min_p", "Drop codes below this fraction of the highest probability.")
    repetition_penalty: float | None = bounded("repetition_penalty", "Values above 1 make recent codes less likely.")
    max_new_tokens: int | None = bounded("max_new_tokens", "Maximum number of frames per text segment.")
    chunk_length: int | None = bounded("chunk_length", "Split long text into segments of about this many bytes.")
    normalize: bool = Field(DEFAULTS["normalize"], description="Expand numbers, dates and similar into words.")
    speed: float = bounded("speed", "2 halves the duration at the same pitch.")
    pitch: float = bounded("pitch", "Pitch shift in semitones, at the same speed and timbre.")
    markup: Markup = Field(DEFAULTS["markup"], description="Markup language of the text.")
    latency: Latency = Field(
        DEFAULTS["latency"], description="`low` reduces the time to first audio, at some cost in total time."
    )
    loudness_lufs: float | None = bounded(
        "loudness_lufs", "Normalize to this loudness; the audio is then sent as a whole."
    )
    timeout_s: float | None = bounded("timeout_s", "Maximum total time, including time in the queue.")
    use_memory_cache: Literal["on", "off"] | bool = Field(
        "on" if DEFAULTS["use_memory_cache"] else "off", description="Use cached references and codes."
    )

    def to_request(self) -> SpeechRequest:
        """Returns the engine's request. Raises `BadRequest` if fields contradict each other."""
        if self.voice and self.reference_id and self.voice != self.reference_id:
            raise BadRequest("voice and reference_id are aliases but have different values. Send one of them.")
        if self.streaming and self.format not in FORMATS:
            raise BadRequest(
                f"Cannot stream '{self.format}'; the streaming formats are {', '.join(FORMATS)}. "
                "Choose one of them, or turn streaming off."
            )
        own = {"voice", "reference_id", "references", "format", "streaming", "use_memory_cache"}
        return SpeechRequest(
            **self.model_dump(exclude=own),
            voice=self.voice or self.reference_id,
            whole=not self.streaming,
            references=tuple(ReferenceClip(clip.audio, clip.text) for clip in self.references),
            use_memory_cache=self.use_memory_cache in ("on", True),
        )


async def read_speech_body(request: Request) -> SpeechBody:
    """Returns the validated body. Raises `BadRequest`, `LimitExceeded`, or 415 for another content type."""
    kind = content_type(request)
    if kind == "application/json":
        body = await read_json(request, SpeechBody)
    elif kind == "multipart/form-data":
        fields = await read_form(request, files=("reference_audio",), lists=("reference_audio", "reference_text"))
        body = parse(SpeechBody, with_references(fields))
    else:
        raise unsupported_media_type(kind, "application/json", "multipart/form-data")
    check_text_length(request, body.text)
    return body


def with_references(fields: dict[str, Any]) -> dict[str, Any]:
    """Pairs the form's `reference_audio` and `reference_text` into the `references` list of the JSON body."""
    # Browsers send an empty part for a file input without a file.
    clips = [clip for clip in fields.pop("reference_audio", []) if clip]
    texts = fields.pop("reference_text", [])
    if len(texts) > len(clips) and any(texts):
        raise BadRequest(f"Got {len(texts)} of reference_text and {len(clips)} of reference_audio; expected pairs.")
    texts = (texts + [""] * len(clips))[: len(clips)]
    if "references" in fields:
        raise BadRequest("A form has no field 'references'. Upload each recording as reference_audio.")
    return {**fields, "references": [{"audio": clip, "text": text} for clip, text in zip(clips, texts, strict=True)]}


def json_schema() -> dict[str, Any]:
    """Returns the self-contained schema of the JSON body."""
    schema = SpeechBody.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["references"]["items"] = definitions["Reference"]
    return schema


def form_schema() -> dict[str, Any]:
    """Returns the schema of the form: like the JSON body, but with uploaded files as references."""
    schema = json_schema()
    del schema["properties"]["references"], schema["examples"]
    schema["title"] = "SpeechForm"
    schema["properties"] |= {
        "reference_audio": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "Reference audio for voice cloning: WAV, FLAC, Ogg or MP3 files.",
        },
        "reference_text": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Transcript of each recording, in the same order.",
        },
    }
    return schema
