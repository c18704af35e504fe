"""The body of `POST /v1/audio/speech`: OpenAI's fields, and those of `POST /tts` that say how to speak."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.api.request_parsing import parse
from backend.api.speech.request import SpeechBody, bounded, json_schema
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS

MAX_INPUT_CHARS = 4096
# Fields of `POST /tts` that OpenAI's own fields stand for, or that a voice given by name leaves no room for.
OTHERWISE_SAID = {"text", "voice", "reference_id", "references", "fit_reference", "format", "streaming", "speed"}
EXTENSIONS = tuple(name for name in SpeechBody.model_fields if name not in OTHERWISE_SAID)

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _id_of(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and set(value) == {"id"} else value


Voice = Annotated[
    str,
    Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S"),
    BeforeValidator(_id_of),
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
    """A text to speak, as OpenAI's clients ask for it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "tts-1", "input": "Hello, world.", "voice": "alloy"}]},
    )

    model: str = Field(min_length=1, max_length=255, description="An id of `GET /v1/models`; all speak alike.")
    input: str = Field(min_length=1, max_length=MAX_INPUT_CHARS, pattern=r"\S", description="The text to speak.")
    voice: Voice = Field(description='One of OpenAI\'s names, or an id or name of `GET /voices`, also as {"id": ...}.')
    instructions: str | None = Field(
        None, max_length=4096, description="How to speak. No checkpoint here follows it: see `X-Ignored-Params`."
    )
    response_format: SpeechFormat = Field(
        "mp3", description="`pcm` is bare 16-bit little-endian samples at 24 kHz, one channel."
    )
    speed: float = bounded("speed", "2 speaks in half the time, at the same pitch.")
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="`sse` sends the sound in base64 as events, with the tokens used in the last."
    )

    def native(self) -> SpeechBody:
        """The same as `POST /tts` takes it, without its voice. Raises `BadRequest` naming a field nobody knows."""
        more = self.model_extra or {}
        for name in more:
            if name in OTHERWISE_SAID:
                raise BadRequest(f"Unknown field '{name[:40]}'. See /docs for every field.", name, "unknown_parameter")
        own = {"text": self.input, "format": self.response_format, "streaming": True, "speed": self.speed}
        return parse(SpeechBody, {**more, **own})


def openai_schema() -> dict[str, Any]:
    """The schema of the body: OpenAI's fields, then ours."""
    schema = json.loads(json.dumps(OpenAISpeech.model_json_schema()))
    native = json_schema()["properties"]
    schema["properties"] |= {name: native[name] for name in EXTENSIONS}
    schema["additionalProperties"] = False
    return schema
