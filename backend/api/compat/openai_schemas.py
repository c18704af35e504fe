"""Body of `POST /v1/audio/speech`: OpenAI's fields and the sampling fields of `POST /tts`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.api.compat.foreign_fields import REPORTED_FIELDS, SAMPLE_RATES_HZ, ForeignFields, split_foreign_fields
from backend.api.request_parsing import RequestModel, parse
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
    Field(max_length=MAX_VOICE_CHARS),
    BeforeValidator(_voice_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_VOICE_CHARS},
                {
                    "type": "object",
                    "properties": {"id": {"type": "string", "maxLength": MAX_VOICE_CHARS}},
                    "required": ["id"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class OpenAISpeech(RequestModel):
    """A speech request in OpenAI's format."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "tts-1", "input": "Hello, world.", "voice": "alloy"}]},
    )

    model: str = Field(
        "", max_length=255, description="Any model name; all names use the loaded checkpoint, named in `X-Model`."
    )
    input: str = Field(min_length=1, max_length=MAX_INPUT_CHARS, pattern=r"\S", description="Text to synthesize.")
    voice: Voice = Field(
        "",
        description='OpenAI voice name, or an id or name from `GET /voices`, also as {"id": ...}; '
        "empty or omitted is the default voice.",
    )
    instructions: str | None = Field(None, max_length=4096, description="Ignored and reported in `X-Ignored-Params`.")
    response_format: SpeechFormat = Field(
        "mp3", description="`pcm` is raw 16-bit little-endian samples at 24 kHz, mono."
    )
    speed: float = bounded("speed", "2 halves the duration at the same pitch.")
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="`sse` sends base64 audio as server-sent events, with the token usage in the last."
    )

    def foreign(self) -> ForeignFields:
        """Returns the fields of other speech servers. Raises `BadRequest` for a bad value."""
        return split_foreign_fields(self.model_extra or {})

    def native(self) -> SpeechBody:
        """Returns the body of `POST /tts`, without the voice. Raises `BadRequest` for an unknown field."""
        extra = self.foreign().rest
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
    reported = {name: {"description": "Ignored and reported in `X-Ignored-Params`."} for name in REPORTED_FIELDS}
    schema["properties"] |= reported
    schema["properties"]["stream"] = {
        "type": "boolean", "description": "false sends a whole file, with its lengths in the header."
    }  # fmt: skip
    schema["properties"]["sample_rate"] = {"enum": list(SAMPLE_RATES_HZ), "description": "Sample rate in Hz."}
    schema["additionalProperties"] = False
    return schema
