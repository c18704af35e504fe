"""`POST /v1/tts` and `/v1/health`: speech as fish's clients ask for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from backend.api.compat.fish_msgpack import MSGPACK, read_packed
from backend.api.compat.fish_schemas import FishBody, form_schema, json_schema
from backend.api.errors import documented
from backend.api.request_parsing import content_type, parse, read_form, require_short, with_references
from backend.api.speech.headers import documented_headers
from backend.api.speech.response import MEDIA_TYPES
from backend.api.speech.transcode import speak_as

router = APIRouter(prefix="/v1", tags=["fish"])

ANSWERS: dict[int | str, dict[str, Any]] = {
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


@router.post("/tts", response_class=Response, responses=ANSWERS, openapi_extra=BODY, summary="Speak, for fish clients")
async def tts(request: Request) -> Response:
    """Speak `text` with the voice `reference_id`, or with that of the `references`.

    Fields that cannot be honored are named in `X-Ignored-Params`; an unknown voice is a 404, never another voice.
    """
    if content_type(request) == "multipart/form-data":
        lists = ("reference_audio", "reference_text")
        body = parse(FishBody, with_references(await read_form(request, lists[:1], lists)))
    else:
        body = await read_packed(request, FishBody)
    require_short(request, body.text)
    return await speak_as(request, body.to_request(), body.to_shape(), body.streaming, body.without_effect)


@router.get("/health")
@router.post("/health")
async def health() -> dict[str, str]:
    """Tell that the server is up, as fish's clients ask it."""
    return {"status": "ok"}
