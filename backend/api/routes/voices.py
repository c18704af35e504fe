"""`/voices`: which voices there are, how they sound; adding, renaming and removing one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.api.request_parsing import content_type, parse, read_form, read_json, unsupported
from backend.api.speech.request import Format
from backend.api.speech.response import MEDIA_TYPES, speak
from backend.errors import BadRequest
from backend.runtime.request import BOUNDS, MAX_VOICE_CHARS, ReferenceClip, SpeechRequest

router = APIRouter(tags=["voices"])

VoiceId = Annotated[str, Path(max_length=MAX_VOICE_CHARS)]
# The same words and seed for every voice, so that they can be compared, and so that each is made once.
PREVIEW_TEXT = "This is how I sound. The quick brown fox jumps over the lazy dog."
PREVIEW_SEED = 0


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


class NewName(BaseModel):
    """The body of `PATCH /voices/{id}`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="What to call it now.")


class Similarity(BaseModel):
    """The answer of `GET /voices/{id}/similarity`."""

    similarity: float = Field(description="-1...1; takes of the same voice are near 1.")


def form_schema() -> dict[str, Any]:
    schema = NewVoice.model_json_schema()
    schema["properties"]["audio"] = {
        "type": "string",
        "format": "binary",
        "description": "A recording of the voice: a WAV, FLAC, Ogg or MP3 file.",
    }
    schema["required"] = ["name", "audio", "consent"]
    return schema


RENAMING = {"requestBody": {"required": True, "content": {"application/json": {"schema": NewName.model_json_schema()}}}}
SOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The voice, speaking.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    },
    **documented(404, 429, 503, 504),
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}}


@router.get("/voices", responses=documented(503))
async def voices(request: Request) -> VoiceList:
    """List the voices, built in and added."""
    host = host_of(request)
    found = await host.run(host.engine.voices)
    return VoiceList(voices=[VoiceBody.model_validate(voice) for voice in found])


@router.post("/voices", status_code=201, responses=documented(409, 413, 415, 429, 503, 507), openapi_extra=BODY)
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
    voice = await host.work(host.engine.add_voice, form.name, clip, form.text, form.consent)
    return VoiceBody.model_validate(voice)


@router.delete("/voices/{voice_id}", status_code=204, response_class=Response, responses=documented(404, 503))
async def delete_voice(request: Request, voice_id: VoiceId) -> Response:
    """Remove an added voice and its recording. Built-in voices stay."""
    host = host_of(request)
    await host.run(host.engine.delete_voice, voice_id)
    return Response(status_code=204)


@router.patch("/voices/{voice_id}", responses=documented(404, 409, 415, 503), openapi_extra=RENAMING)
async def rename_voice(request: Request, voice_id: VoiceId) -> VoiceBody:
    """Call an added voice something else. Its id stays."""
    if content_type(request) != "application/json":
        raise unsupported(content_type(request), "application/json")
    wanted = await read_json(request, NewName)
    host = host_of(request)
    return VoiceBody.model_validate(await host.run(host.engine.rename_voice, voice_id, wanted.name))


@router.get("/voices/{voice_id}/preview", response_class=Response, responses=SOUND)
async def preview(
    request: Request, voice_id: VoiceId, format: Annotated[Format, Query(description="File format.")] = "wav"
) -> Response:
    """The voice speaking a fixed sentence, remembered after the first time."""
    return await speak(
        request, SpeechRequest(text=PREVIEW_TEXT, voice=voice_id, seed=PREVIEW_SEED, whole=True), format, False
    )


@router.get("/voices/{voice_id}/similarity", responses=documented(404, 429, 501, 503, 504))
async def similarity(
    request: Request,
    voice_id: VoiceId,
    seed: Annotated[int | None, Query(ge=BOUNDS["seed"][0], le=BOUNDS["seed"][1], description="Of the take.")] = None,
) -> Similarity:
    """How like itself a voice sounds in a fresh take, by the checkpoint's own speaker encoder."""
    host = host_of(request)
    return Similarity(similarity=await host.work(host.engine.voice_similarity, voice_id, PREVIEW_TEXT, seed))
