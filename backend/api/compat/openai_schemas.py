"""Body of `POST /v1/audio/speech`: OpenAI's fields and the sampling fields of `POST /tts`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.api.request_parsing import parse
from backend.api.speech.request import SpeechBody, bounded, json_schema
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS

MAX_INPUT_CHARS = 4096
# Fields of `POST /tts` that OpenAI's fields replace, or that do not apply to a voice given by name.
REPLACED_FIELDS = {"text", "voice", "reference_id", "references", "fit_reference", "format", "streaming", "speed"}
EXTENSIONS = tuple(name for name in SpeechBody.model_fields if name not in REPLACED_FIELDS)

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _voice_id(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and set(value) == {"id"} else value


Voice = Annotated[
    str,
    Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S"),
    BeforeValidator(_voice_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": MAX_VOICE_CHARS},
                {
                    "type": "object",
                    "properties": {"id": {"type": "string", "minLength": 1, "maxLength": MAX_VOICE_CHARS}},
                    "required": ["id"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class OpenAISpeech(BaseModel):
    """A speech request in OpenAI's format."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "tts-1", "input": "Hello, world.", "voice": "alloy"}]},
    )

    model: str = Field(
        min_length=1, max_length=255, description="Model id from `GET /v1/models`; all ids use the loaded checkpoint."
    )
    input: str = Field(min_length=1, max_length=MAX_INPUT_CHARS, pattern=r"\S", description="Text to synthesize.")
    voice: Voice = Field(description='OpenAI voice name, or an id or name from `GET /voices`, also as {"id": ...}.')
    instructions: str | None = Field(None, max_length=4096, description="Ignored and reported in `X-Ignored-Params`.")
    response_format: SpeechFormat = Field(
        "mp3", description="`pcm` is raw 16-bit little-endian samples at 24 kHz, mono."
    )
    speed: float = bounded("speed", "2 halves the duration at the same pitch.")
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="`sse` sends base64 audio as server-sent events, with the token usage in the last."
    )

    def native(self) -> SpeechBody:
        """Returns the body of `POST /tts`, without the voice. Raises `BadRequest` for an unknown field."""
        extra = self.model_extra or {}
        for name in extra:
            if name in REPLACED_FIELDS:
                raise BadRequest(f"Unknown field '{name[:40]}'. See /docs for every field.", name, "unknown_parameter")
        own = {"text": self.input, "format": self.response_format, "streaming": True, "speed": self.speed}
        return parse(SpeechBody, {**extra, **own})


def openai_schema() -> dict[str, Any]:
    """Returns the schema of the body: OpenAI's fields, then the extensions."""
    schema = json.loads(json.dumps(OpenAISpeech.model_json_schema()))
    native = json_schema()["properties"]
    schema["properties"] |= {name: native[name] for name in EXTENSIONS}
    schema["additionalProperties"] = False
    return schema
