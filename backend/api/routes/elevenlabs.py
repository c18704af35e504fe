"""`/v1/text-to-speech` and `/v1/voices`: the ElevenLabs-compatible API."""

from __future__ import annotations

import base64
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.compat.elevenlabs_schemas import DEFAULT_FORMAT, ElevenLabsBody, output_format_of
from backend.api.compat.elevenlabs_timing import CharacterTimedSpeech, alignment_of
from backend.api.dependencies import Host
from backend.api.errors import documented
from backend.api.request_parsing import check_text_length, content_type, read_json, unsupported_media_type
from backend.api.speech.headers import documented_headers
from backend.api.speech.response import MEDIA_TYPES, SpeechRun, on_disconnect
from backend.api.speech.transcode import OutputFormat as Output
from backend.api.speech.transcode import speak_as, transcoded
from backend.errors import UnknownVoice
from backend.runtime.request import MAX_VOICE_CHARS

router = APIRouter(prefix="/v1", tags=["elevenlabs"])

RESPONSES: dict[int | str, dict[str, Any]] = {
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


TIMED = documented(404, 413, 415, 429, 503, 504)


def _body() -> dict[str, Any]:
    schema = ElevenLabsBody.model_json_schema()
    schema["properties"]["voice_settings"]["anyOf"][0] = schema.pop("$defs")["VoiceSettings"]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


VoiceId = Annotated[str, Path(min_length=1, max_length=MAX_VOICE_CHARS, description="Voice id or name.")]
OutputFormat = Annotated[
    str, Query(max_length=40, description="For example mp3_44100_128, opus_48000_64, pcm_24000 or wav_48000.")
]
LatencyLevel = Annotated[
    int | None, Query(ge=0, le=4, description="1 and above reduce the time to first audio, at some cost in total time.")
]
Logging = Annotated[bool | None, Query(description="Ignored and reported: texts are never logged.")]


class ElevenLabsVoice(BaseModel):
    """A voice in ElevenLabs' format."""

    voice_id: str
    name: str
    category: str = Field(description="`premade` for built-in voices, `cloned` for added ones.")
    description: str = ""
    labels: dict[str, str] = {}
    preview_url: str


class ElevenLabsVoices(BaseModel):
    """Response of `GET /v1/voices`."""

    voices: list[ElevenLabsVoice]


@router.post("/text-to-speech/{voice_id}", response_class=Response, responses=RESPONSES, openapi_extra=_body())
async def speak_whole(
    request: Request, voice_id: VoiceId, output_format: OutputFormat = DEFAULT_FORMAT,
    optimize_streaming_latency: LatencyLevel = None, enable_logging: Logging = None,
) -> Response:  # fmt: skip
    """Synthesize `text` and return the complete audio."""
    return await _speak(request, voice_id, output_format, bool(optimize_streaming_latency), enable_logging, False)


@router.post("/text-to-speech/{voice_id}/stream", response_class=Response, responses=RESPONSES, openapi_extra=_body())
async def speak_streamed(
    request: Request, voice_id: VoiceId, output_format: OutputFormat = DEFAULT_FORMAT,
    optimize_streaming_latency: LatencyLevel = None, enable_logging: Logging = None,
) -> Response:  # fmt: skip
    """Synthesize `text` and stream the audio while it is generated."""
    return await _speak(request, voice_id, output_format, bool(optimize_streaming_latency), enable_logging, True)


@router.post("/text-to-speech/{voice_id}/with-timestamps", responses=TIMED, openapi_extra=_body())
async def speak_timed(
    request: Request, voice_id: VoiceId, output_format: OutputFormat = DEFAULT_FORMAT,
    optimize_streaming_latency: LatencyLevel = None, enable_logging: Logging = None,
) -> CharacterTimedSpeech:  # fmt: skip
    """Synthesize `text` and return the complete audio with the start and end of each character."""
    output, body = await _read(request, output_format)
    speech = SpeechRun(request, body.to_request(voice_id, False, bool(optimize_streaming_latency)))
    try:
        async with on_disconnect(request.receive, speech.cancel):
            whole = await speech.whole(await speech.open())
            content = await speech.run(transcoded, whole, output)
            alignment = alignment_of(await speech.sentences())
        speech.sent(whole.duration_s)
        speech.finish()
    finally:
        speech.close()
    audio = base64.b64encode(content).decode()
    return CharacterTimedSpeech(audio_base64=audio, alignment=alignment, normalized_alignment=alignment)


@router.delete("/voices/{voice_id}", responses=documented(404, 503))
async def delete_voice(host: Host, voice_id: VoiceId) -> dict[str, str]:
    """Delete an added voice and its recording. Built-in voices cannot be deleted."""
    await host.run(host.engine.delete_voice, voice_id)
    return {"status": "ok"}


@router.get("/voices", responses=documented(503))
async def voices(request: Request, host: Host) -> ElevenLabsVoices:
    """List the built-in and added voices."""
    return ElevenLabsVoices(voices=[_voice_body(request, voice) for voice in await host.run(host.engine.voices)])


@router.get("/voices/{voice_id}", responses=documented(404, 503))
async def voice(request: Request, host: Host, voice_id: VoiceId) -> ElevenLabsVoice:
    """Return a voice by its id."""
    for known in await host.run(host.engine.voices):
        if known.id == voice_id:
            return _voice_body(request, known)
    raise UnknownVoice("There is no voice with that id. List the voices with GET /v1/voices.")


async def _read(request: Request, output_format: str) -> tuple[Output, ElevenLabsBody]:
    if content_type(request) != "application/json":
        raise unsupported_media_type(content_type(request), "application/json")
    output = output_format_of(output_format)
    body = await read_json(request, ElevenLabsBody)
    check_text_length(request, body.text)
    return output, body


async def _speak(
    request: Request,
    voice_id: str,
    output_format: str,
    is_low_latency: bool,
    is_logged: bool | None,
    is_streaming: bool,
) -> Response:
    output, body = await _read(request, output_format)
    ignored = body.ignored_fields + (() if is_logged is None else ("enable_logging",))
    speech_request = body.to_request(voice_id, is_streaming, is_low_latency)
    return await speak_as(request, speech_request, output, is_streaming, ignored)


def _voice_body(request: Request, voice: Any) -> ElevenLabsVoice:
    return ElevenLabsVoice(
        voice_id=voice.id, name=voice.name, category="premade" if getattr(voice, "is_builtin", False) else "cloned",
        description=getattr(voice, "description", ""), preview_url=f"{request.base_url}voices/{quote(voice.id, safe='')}/preview",
    )  # fmt: skip
