"""`POST /v1/tts` and `/v1/health`: the fish-compatible speech API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.compat.fish_msgpack import MSGPACK, read_packed
from backend.api.compat.fish_schemas import FishBody, form_schema, json_schema
from backend.api.errors import documented
from backend.api.request_parsing import check_text_length, content_type, parse, read_form
from backend.api.speech.headers import documented_headers
from backend.api.speech.request import with_references
from backend.api.speech.response import MEDIA_TYPES
from backend.api.speech.transcode import speak_as

router = APIRouter(prefix="/v1", tags=["fish"])

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
        "headers": documented_headers(),
    },
    **documented(404, 413, 415, 429, 503, 504),
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_schema()},
            MSGPACK: {"schema": json_schema()},
            "multipart/form-data": {"schema": form_schema()},
        },
    }
}


@router.post(
    "/tts", response_class=Response, responses=RESPONSES, openapi_extra=BODY, summary="Speak, for fish clients"
)
async def tts(request: Request) -> Response:
    """Synthesize `text` with the voice `reference_id`, or with a voice cloned from `references`.

    `X-Ignored-Params` lists the fields without effect. An unknown voice is a 404.
    """
    if content_type(request) == "multipart/form-data":
        lists = ("reference_audio", "reference_text")
        body = parse(FishBody, with_references(await read_form(request, lists[:1], lists)))
    else:
        body = await read_packed(request, FishBody)
    check_text_length(request, body.text)
    return await speak_as(request, body.to_request(), body.to_output_format(), body.streaming, body.ignored_fields)


@router.get("/health")
@router.post("/health")
async def health() -> dict[str, str]:
    """Return 200 while the server is up."""
    return {"status": "ok"}
