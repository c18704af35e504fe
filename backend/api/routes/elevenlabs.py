"""`/v1/text-to-speech` and `/v1/voices`: speech as ElevenLabs' clients ask for it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.compat.elevenlabs_schemas import USUAL_FORMAT, ElevenLabsBody, shape_of
from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.api.request_parsing import content_type, read_json, require_short, unsupported
from backend.api.speech.headers import documented_headers
from backend.api.speech.response import MEDIA_TYPES
from backend.api.speech.transcode import speak_as
from backend.errors import UnknownVoice
from backend.runtime.request import MAX_VOICE_CHARS

router = APIRouter(prefix="/v1", tags=["elevenlabs"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech.",
        "content": {
            MEDIA_TYPES[name]: {"schema": {"type": "string", "format": "binary"}}
            for name in ("mp3", "opus", "pcm", "wav")
        },
        "headers": documented_headers(),
    },
    **documented(404, 413, 415, 429, 503, 504),
}


def _body() -> dict[str, Any]:
    schema = ElevenLabsBody.model_json_schema()
    schema["properties"]["voice_settings"]["anyOf"][0] = schema.pop("$defs")["VoiceSettings"]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


VoiceId = Annotated[str, Path(min_length=1, max_length=MAX_VOICE_CHARS, description="A voice: its id or name.")]
OutputFormat = Annotated[
    str, Query(max_length=40, description="Such as mp3_44100_128, opus_48000_64, pcm_24000 or wav_48000.")
]
Hurry = Annotated[
    int | None, Query(ge=0, le=4, description="From 1 on the first sound comes sooner, at some cost in total time.")
]
Logging = Annotated[bool | None, Query(description="Not honored, but reported: texts are never logged.")]


class ElevenLabsVoice(BaseModel):
    """A voice by the fields that clients read."""

    voice_id: str
    name: str
    category: str = Field(description="`premade` for built-in voices, `cloned` for added ones.")
    description: str = ""
    labels: dict[str, str] = {}
    preview_url: str


class ElevenLabsVoices(BaseModel):
    """The answer of `GET /v1/voices`."""

    voices: list[ElevenLabsVoice]


@router.post("/text-to-speech/{voice_id}", response_class=Response, responses=ANSWERS, openapi_extra=_body())
async def speak_whole(
    request: Request, voice_id: VoiceId, output_format: OutputFormat = USUAL_FORMAT,
    optimize_streaming_latency: Hurry = None, enable_logging: Logging = None,
) -> Response:  # fmt: skip
    """Speak `text` with a voice; the answer comes when all of it is made."""
    return await _speak(request, voice_id, output_format, bool(optimize_streaming_latency), enable_logging, False)


@router.post("/text-to-speech/{voice_id}/stream", response_class=Response, responses=ANSWERS, openapi_extra=_body())
async def speak_streamed(
    request: Request, voice_id: VoiceId, output_format: OutputFormat = USUAL_FORMAT,
    optimize_streaming_latency: Hurry = None, enable_logging: Logging = None,
) -> Response:  # fmt: skip
    """Speak `text` with a voice; the answer comes as it is made."""
    return await _speak(request, voice_id, output_format, bool(optimize_streaming_latency), enable_logging, True)


@router.get("/voices", responses=documented(503))
async def voices(request: Request) -> ElevenLabsVoices:
    """List the voices, built in and added."""
    host = host_of(request)
    return ElevenLabsVoices(voices=[_listed(request, voice) for voice in await host.run(host.engine.voices)])


@router.get("/voices/{voice_id}", responses=documented(404, 503))
async def voice(request: Request, voice_id: VoiceId) -> ElevenLabsVoice:
    """One voice by its id."""
    host = host_of(request)
    for found in await host.run(host.engine.voices):
        if found.id == voice_id:
            return _listed(request, found)
    raise UnknownVoice("There is no voice of that id. List the voices to see what there is.")


async def _speak(
    request: Request, voice_id: str, output_format: str, is_hurried: bool, is_logged: bool | None, is_streaming: bool
) -> Response:
    if content_type(request) != "application/json":
        raise unsupported(content_type(request), "application/json")
    shape = shape_of(output_format)
    body = await read_json(request, ElevenLabsBody)
    require_short(request, body.text)
    ignored = body.without_effect + (() if is_logged is None else ("enable_logging",))
    wanted = body.to_request(voice_id, is_streaming, is_hurried)
    return await speak_as(request, wanted, shape, is_streaming, ignored)


def _listed(request: Request, found: Any) -> ElevenLabsVoice:
    return ElevenLabsVoice(
        voice_id=found.id, name=found.name, category="premade" if getattr(found, "is_builtin", False) else "cloned",
        description=getattr(found, "description", ""), preview_url=f"{request.base_url}voices/{quote(found.id, safe='')}/preview",
    )  # fmt: skip
