"""`/v1/references`: the fish-compatible voice API. A `reference_id` of fish is the name of a voice here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.compat.fish_msgpack import MSGPACK, packed, read_packed
from backend.api.dependencies import Host
from backend.api.errors import documented
from backend.api.request_parsing import RequestModel, parse, read_form
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS, ReferenceClip

router = APIRouter(prefix="/v1/references", tags=["fish"])


class NewReference(RequestModel):
    """Form of `POST /v1/references/add`."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="Name of the voice.")
    text: str = Field(min_length=1, max_length=5000, description="Transcript of the recording.")
    consent: bool = Field(
        False, description="True if the speaker agrees. Clients without this field may add `?consent=true` to the URL."
    )


class DeletedReference(BaseModel):
    """Body of `DELETE /v1/references/delete`."""

    model_config = ConfigDict(extra="forbid")

    reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)


class RenamedReference(BaseModel):
    """Body of `POST /v1/references/update`."""

    model_config = ConfigDict(extra="forbid")

    old_reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)
    new_reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    kinds = ("application/json", MSGPACK, "multipart/form-data")
    content = {kind: {"schema": model.model_json_schema()} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


def _add_schema() -> dict[str, Any]:
    schema = NewReference.model_json_schema()
    schema["properties"]["audio"] = {"type": "string", "format": "binary", "description": "Recording of the voice."}
    schema["required"] = ["id", "audio", "text"]
    return schema


ADD_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _add_schema()}}}}
SUCCESS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The result, as msgpack or JSON.", "content": {MSGPACK: {}, "application/json": {}}}
}


@router.post(
    "/add", response_class=Response, responses={**SUCCESS, **documented(409, 413, 415, 429, 503, 507)}, openapi_extra=ADD_BODY
)  # fmt: skip
async def add(request: Request, host: Host) -> Response:
    """Add a voice from a recording, with the speaker's consent."""
    fields = await read_form(request, files=("audio",))
    audio = fields.pop("audio", b"")
    if "consent" in request.query_params:
        fields.setdefault("consent", request.query_params["consent"])
    form = parse(NewReference, fields)
    if not audio:
        raise BadRequest("audio is missing; expected an audio file of the voice. Upload one.")
    if not form.consent:
        raise BadRequest("consent is not true. Ask the speaker; with their consent send consent=true.")
    voice = await host.run_task(host.engine.add_voice, form.id, ReferenceClip(audio, form.text), form.text, True)
    return packed(request, {"success": True, "message": f"Added '{voice.name}'.", "reference_id": voice.name})


@router.get("/list", response_class=Response, responses={**SUCCESS, **documented(503)})
async def listed(request: Request, host: Host) -> Response:
    """List the valid values of `reference_id`: ids of built-in voices and names of added ones."""
    voices = await host.run(host.engine.voices)
    names = [voice.id if getattr(voice, "is_builtin", False) else voice.name for voice in voices]
    return packed(request, {"success": True, "reference_ids": names, "message": "Success"})


@router.delete(
    "/delete", response_class=Response, responses={**SUCCESS, **documented(404, 415, 503)}, openapi_extra=_body(DeletedReference)
)  # fmt: skip
async def delete(request: Request, host: Host) -> Response:
    """Delete an added voice and its recording. Built-in voices cannot be deleted."""
    body = await read_packed(request, DeletedReference)
    await host.run(host.engine.delete_voice, body.reference_id)
    return packed(request, {"success": True, "message": "Removed the voice.", "reference_id": body.reference_id})


@router.post(
    "/update", response_class=Response, responses={**SUCCESS, **documented(404, 409, 415, 503)},
    openapi_extra=_body(RenamedReference),
)  # fmt: skip
async def update(request: Request, host: Host) -> Response:
    """Rename an added voice."""
    body = await read_packed(request, RenamedReference)
    voice = await host.run(host.engine.rename_voice, body.old_reference_id, body.new_reference_id)
    result = {"success": True, "message": "Renamed the voice.", "old_reference_id": body.old_reference_id}
    return packed(request, {**result, "new_reference_id": voice.name})
