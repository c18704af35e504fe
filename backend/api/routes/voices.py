"""`/voices`: which voices there are, adding one, removing one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.body import parse, read_form
from backend.api.engine import host_of
from backend.api.errors import documented
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS, ReferenceClip

router = APIRouter(tags=["voices"])


class VoiceBody(BaseModel):
    """A voice to speak with."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="What `POST /tts` takes as `voice`.")
    name: str
    is_builtin: bool = Field(default=False, description="Comes with the checkpoint and cannot be removed.")
    description: str = ""
    license: str = ""
    created_at: str | None = None
    duration_s: float | None = Field(default=None, description="Length of the recording it was made from.")


class VoiceList(BaseModel):
    """The answer of `GET /voices`."""

    voices: list[VoiceBody]


class NewVoice(BaseModel):
    """The form of `POST /voices`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="What to call the voice.")
    text: str = Field("", max_length=5000, description="The words said in the recording.")
    consent: bool = Field(
        False, description="True if the speaker agrees to having this voice copied; nothing is stored otherwise."
    )


def form_schema() -> dict[str, Any]:
    schema = NewVoice.model_json_schema()
    schema["properties"]["audio"] = {
        "type": "string",
        "format": "binary",
        "description": "A recording of the voice: a WAV, FLAC, Ogg or MP3 file.",
    }
    schema["required"] = ["name", "audio", "consent"]
    return schema


BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}}


@router.get("/voices", responses=documented(503))
async def voices(request: Request) -> VoiceList:
    """List the voices, built in and added."""
    host = host_of(request)
    found = await host.run(host.engine.voices)
    return VoiceList(voices=[VoiceBody.model_validate(voice) for voice in found])


@router.post("/voices", status_code=201, responses=documented(409, 413, 415, 503), openapi_extra=BODY)
async def add_voice(request: Request) -> VoiceBody:
    """Add a voice from a recording of someone who agrees to it."""
    fields = await read_form(request, files=("audio",))
    audio = fields.pop("audio", b"")
    form = parse(NewVoice, fields)
    if not audio:
        raise BadRequest("audio is missing; expected a sound file of the voice. Upload one.")
    if not form.consent:
        raise BadRequest("consent is not true. Ask the speaker; with their agreement send consent=true.")
    host = host_of(request)
    clip = ReferenceClip(audio, form.text)
    voice = await host.run(host.engine.add_voice, form.name, clip, form.text, form.consent)
    return VoiceBody.model_validate(voice)


@router.delete("/voices/{voice_id}", status_code=204, response_class=Response, responses=documented(404, 503))
async def delete_voice(request: Request, voice_id: Annotated[str, Path(max_length=MAX_VOICE_CHARS)]) -> Response:
    """Remove an added voice and its recording. Built-in voices stay."""
    host = host_of(request)
    await host.run(host.engine.delete_voice, voice_id)
    return Response(status_code=204)
