"""`/voices`: lists, previews, adds, renames and deletes voices."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.dependencies import Host
from backend.api.errors import documented
from backend.api.request_parsing import RequestModel, content_type, parse, read_form, read_json, unsupported_media_type
from backend.api.speech.request import Format
from backend.api.speech.response import MEDIA_TYPES, speak
from backend.errors import BadRequest
from backend.runtime.request import BOUNDS, MAX_VOICE_CHARS, ReferenceClip, SpeechRequest

router = APIRouter(tags=["voices"])

VoiceId = Annotated[str, Path(max_length=MAX_VOICE_CHARS)]
# The same text and seed for all voices, so that they can be compared and each preview is cached.
PREVIEW_TEXT = "This is how I sound. The quick brown fox jumps over the lazy dog."
PREVIEW_SEED = 0


class VoiceBody(BaseModel):
    """A voice."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Value for `voice` of `POST /tts`.")
    name: str
    is_builtin: bool = Field(default=False, description="Part of the checkpoint; cannot be deleted.")
    description: str = ""
    license: str = ""
    gender: str = Field(default="", description="`female` or `male`; empty if unknown.")
    accent: str = Field(default="", description="For example `American` or `British`; empty if unknown.")
    created_at: str | None = None
    duration_s: float | None = Field(default=None, description="Duration of the reference audio.")


class VoiceList(BaseModel):
    """Response of `GET /voices`."""

    voices: list[VoiceBody]


class NewVoice(RequestModel):
    """Form of `POST /voices`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="Name of the voice.")
    text: str = Field("", max_length=5000, description="Transcript of the recording.")
    consent: bool = Field(
        False, description="True if the speaker consents to the cloning of this voice; otherwise nothing is stored."
    )


class NewName(BaseModel):
    """Body of `PATCH /voices/{id}`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="New name of the voice.")


class Similarity(BaseModel):
    """Response of `GET /voices/{id}/similarity`."""

    similarity: float = Field(description="Cosine similarity in -1...1; takes of the same voice are near 1.")


def form_schema() -> dict[str, Any]:
    schema = NewVoice.model_json_schema()
    schema["properties"]["audio"] = {
        "type": "string",
        "format": "binary",
        "description": "Recording of the voice: a WAV, FLAC, Ogg or MP3 file.",
    }
    schema["required"] = ["name", "audio", "consent"]
    return schema


RENAME_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": NewName.model_json_schema()}}}
}
PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The preview audio.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    },
    **documented(404, 429, 503, 504),
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}}


@router.get("/voices", responses=documented(503))
async def voices(host: Host) -> VoiceList:
    """List the built-in and added voices."""
    return VoiceList(voices=[VoiceBody.model_validate(voice) for voice in await host.run(host.engine.voices)])


@router.post("/voices", status_code=201, responses=documented(409, 413, 415, 429, 503, 507), openapi_extra=BODY)
async def add_voice(request: Request, host: Host) -> VoiceBody:
    """Add a voice from a recording, with the speaker's consent."""
    fields = await read_form(request, files=("audio",))
    audio = fields.pop("audio", b"")
    form = parse(NewVoice, fields)
    if not audio:
        raise BadRequest("audio is missing; expected an audio file of the voice. Upload one.")
    if not form.consent:
        raise BadRequest("consent is not true. Ask the speaker; with their consent send consent=true.")
    clip = ReferenceClip(audio, form.text)
    voice = await host.run_task(host.engine.add_voice, form.name, clip, form.text, form.consent)
    return VoiceBody.model_validate(voice)


@router.delete("/voices/{voice_id}", status_code=204, response_class=Response, responses=documented(404, 503))
async def delete_voice(host: Host, voice_id: VoiceId) -> Response:
    """Delete an added voice and its recording. Built-in voices cannot be deleted."""
    await host.run(host.engine.delete_voice, voice_id)
    return Response(status_code=204)


@router.patch("/voices/{voice_id}", responses=documented(404, 409, 415, 503), openapi_extra=RENAME_BODY)
async def rename_voice(request: Request, host: Host, voice_id: VoiceId) -> VoiceBody:
    """Rename an added voice. Its id does not change."""
    if content_type(request) != "application/json":
        raise unsupported_media_type(content_type(request), "application/json")
    body = await read_json(request, NewName)
    return VoiceBody.model_validate(await host.run(host.engine.rename_voice, voice_id, body.name))


@router.get("/voices/{voice_id}/preview", response_class=Response, responses=PREVIEW)
async def preview(
    request: Request, voice_id: VoiceId, format: Annotated[Format, Query(description="File format.")] = "wav"
) -> Response:
    """Return a fixed sentence spoken with the voice; cached after the first request."""
    return await speak(
        request, SpeechRequest(text=PREVIEW_TEXT, voice=voice_id, seed=PREVIEW_SEED, whole=True), format, False
    )


@router.get("/voices/{voice_id}/similarity", responses=documented(404, 429, 501, 503, 504))
async def similarity(
    host: Host,
    voice_id: VoiceId,
    seed: Annotated[
        int | None, Query(ge=BOUNDS["seed"][0], le=BOUNDS["seed"][1], description="Seed of the generated speech.")
    ] = None,
) -> Similarity:
    """Return the similarity of newly generated speech to the voice, by the checkpoint's speaker encoder."""
    return Similarity(similarity=await host.run_task(host.engine.voice_similarity, voice_id, PREVIEW_TEXT, seed))
