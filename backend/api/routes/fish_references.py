"""`/v1/references`: the voices as fish's clients add, list, rename and remove them. An id there is a name here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.compat.fish_msgpack import MSGPACK, packed, read_packed
from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.api.request_parsing import parse, read_form
from backend.errors import BadRequest
from backend.runtime.request import MAX_VOICE_CHARS, ReferenceClip

router = APIRouter(prefix="/v1/references", tags=["fish"])


class NewReference(BaseModel):
    """The form of `POST /v1/references/add`."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS, pattern=r"\S", description="The name of the voice.")
    text: str = Field(min_length=1, max_length=5000, description="The words said in the recording.")
    consent: bool = Field(
        False, description="True if the speaker agrees. Clients without this field may add `?consent=true` to the URL."
    )


class DeletedReference(BaseModel):
    """The body of `DELETE /v1/references/delete`."""

    model_config = ConfigDict(extra="forbid")

    reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)


class RenamedReference(BaseModel):
    """The body of `POST /v1/references/update`."""

    model_config = ConfigDict(extra="forbid")

    old_reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)
    new_reference_id: str = Field(min_length=1, max_length=MAX_VOICE_CHARS)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    kinds = ("application/json", MSGPACK, "multipart/form-data")
    content = {kind: {"schema": model.model_json_schema()} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


def _add_schema() -> dict[str, Any]:
    schema = NewReference.model_json_schema()
    schema["properties"]["audio"] = {"type": "string", "format": "binary", "description": "A recording of the voice."}
    schema["required"] = ["id", "audio", "text"]
    return schema


ADDING = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _add_schema()}}}}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "What was done, as msgpack or JSON.", "content": {MSGPACK: {}, "application/json": {}}}
}


@router.post(
    "/add", response_class=Response, responses={**ANSWER, **documented(409, 413, 415, 429, 503, 507)}, openapi_extra=ADDING
)  # fmt: skip
async def add(request: Request) -> Response:
    """Add a voice from a recording of someone who agrees to it."""
    fields = await read_form(request, files=("audio",))
    audio = fields.pop("audio", b"")
    if "consent" in request.query_params:
        fields.setdefault("consent", request.query_params["consent"])
    form = parse(NewReference, fields)
    if not audio:
        raise BadRequest("audio is missing; expected a sound file of the voice. Upload one.")
    if not form.consent:
        raise BadRequest("consent is not true. Ask the speaker; with their agreement send consent=true.")
    host = host_of(request)
    voice = await host.work(host.engine.add_voice, form.id, ReferenceClip(audio, form.text), form.text, True)
    return packed(request, {"success": True, "message": f"Added '{voice.name}'.", "reference_id": voice.name})


@router.get("/list", response_class=Response, responses={**ANSWER, **documented(503)})
async def listed(request: Request) -> Response:
    """List what `reference_id` may be: built-in voices by id, added ones by name."""
    host = host_of(request)
    found = await host.run(host.engine.voices)
    names = [voice.id if getattr(voice, "is_builtin", False) else voice.name for voice in found]
    return packed(request, {"success": True, "reference_ids": names, "message": "Success"})


@router.delete(
    "/delete", response_class=Response, responses={**ANSWER, **documented(404, 415, 503)}, openapi_extra=_body(DeletedReference)
)  # fmt: skip
async def delete(request: Request) -> Response:
    """Remove an added voice and its recording. Built-in voices stay."""
    body = await read_packed(request, DeletedReference)
    host = host_of(request)
    await host.run(host.engine.delete_voice, body.reference_id)
    return packed(request, {"success": True, "message": "Removed the voice.", "reference_id": body.reference_id})


@router.post(
    "/update", response_class=Response, responses={**ANSWER, **documented(404, 409, 415, 503)},
    openapi_extra=_body(RenamedReference),
)  # fmt: skip
async def update(request: Request) -> Response:
    """Rename an added voice."""
    body = await read_packed(request, RenamedReference)
    host = host_of(request)
    voice = await host.run(host.engine.rename_voice, body.old_reference_id, body.new_reference_id)
    done = {"success": True, "message": "Renamed the voice.", "old_reference_id": body.old_reference_id}
    return packed(request, {**done, "new_reference_id": voice.name})
