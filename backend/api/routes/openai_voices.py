"""`/v1/audio/voices`: the OpenAI-compatible voice API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from backend.api.dependencies import Host
from backend.api.errors import documented
from backend.api.request_parsing import RequestModel, parse, read_form
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS, ReferenceClip

router = APIRouter(prefix="/v1/audio", tags=["openai"])


class OpenAIVoice(BaseModel):
    """A voice with its id and name."""

    id: str
    name: str


class OpenAIVoices(BaseModel):
    """Response of `GET /v1/audio/voices`."""

    voices: list[OpenAIVoice]


class CreatedVoice(BaseModel):
    """Response of `POST /v1/audio/voices`."""

    object: Literal["audio.voice"] = "audio.voice"
    id: str
    name: str
    created_at: int = Field(description="Seconds since 1970.")


class VoiceForm(RequestModel):
    """Form of `POST /v1/audio/voices`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="Name of the voice.")
    consent: str = Field(
        min_length=1, max_length=MAX_VOICE_CHARS,
        description="`true` if the speaker consents. Ids of consent recordings are not supported.",
    )  # fmt: skip


def _form_schema() -> dict[str, Any]:
    schema = VoiceForm.model_json_schema()
    sample = {"type": "string", "format": "binary", "description": "A WAV, FLAC, Ogg or MP3 file of the voice."}
    schema["properties"]["audio_sample"] = sample
    schema["required"] = ["name", "audio_sample", "consent"]
    return schema


BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form_schema()}}}}


class DeletedVoice(BaseModel):
    """Response of `DELETE /v1/audio/voices/{id}`."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: Literal[True] = True


@router.delete("/voices/{voice_id}", responses=documented(404, 503))
async def delete_voice(host: Host, voice_id: Annotated[str, Path(max_length=MAX_VOICE_CHARS)]) -> DeletedVoice:
    """Delete an added voice and its recording. Built-in voices cannot be deleted."""
    await host.run(host.engine.delete_voice, voice_id)
    return DeletedVoice(id=voice_id)


@router.get("/speech/voices", responses=documented(503))
@router.get("/voices", responses=documented(503))
async def voices(host: Host) -> OpenAIVoices:
    """List the built-in and added voices; each `id` is valid as `voice` in speech requests."""
    voices = await host.run(host.engine.voices)
    return OpenAIVoices(voices=[OpenAIVoice(id=voice.id, name=voice.name) for voice in voices])


@router.post("/voices", responses=documented(409, 413, 415, 429, 503, 507), openapi_extra=BODY)
async def add_voice(request: Request, host: Host) -> CreatedVoice:
    """Add a voice from a recording, with the speaker's consent."""
    fields = await read_form(request, files=("audio_sample",))
    sample = fields.pop("audio_sample", b"")
    form = parse(VoiceForm, fields)
    if not sample:
        raise BadRequest("audio_sample is missing; expected an audio file of the voice. Upload one.")
    if form.consent.strip().lower() != "true":
        raise BadRequest(
            "consent is not 'true'. This server does not support ids of consent recordings: ask the speaker, and with "
            "their consent send consent=true."
        )
    voice = await host.run_task(host.engine.add_voice, form.name, ReferenceClip(sample, ""), "", True)
    created_at = int(datetime.fromisoformat(voice.created_at).timestamp())
    return CreatedVoice(id=voice.id, name=voice.name, created_at=created_at)
