"""`POST /tts`: text in, speech out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from backend.api.errors import documented
from backend.api.request_parsing import read_speech_body
from backend.api.speech.headers import documented_headers
from backend.api.speech.request import form_schema, json_schema
from backend.api.speech.response import MEDIA_TYPES, speak
from backend.api.speech.timestamps import SUBTITLE_TYPES, Output, TimedBody, speak_timed
from backend.errors import BadRequest

router = APIRouter(tags=["speech"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech. Streamed ones carry only the headers that are known at the first sound.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
        "headers": documented_headers(),
    },
    429: {**documented(429)[429], "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}},
    **documented(404, 413, 415, 503, 504),
}  # fmt: skip

TIMED: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    200: {
        "model": TimedBody,
        "description": "The speech and its times, or subtitles.",
        "content": {kind: {"schema": {"type": "string"}} for kind in SUBTITLE_TYPES.values()},
        "headers": documented_headers(),
    },
}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": json_schema()},
            "multipart/form-data": {"schema": form_schema()},
        },
    }
}


@router.post("/tts", response_class=Response, responses=ANSWERS, openapi_extra=BODY, summary="Speak a text")
async def tts(request: Request) -> Response:
    """Speak `text` with a voice of `GET /voices`, or with the voice of the references that come along.

    With `streaming` the sound is sent as it is made. Unknown fields are refused by name.
    """
    body = await read_speech_body(request)
    return await speak(request, body.to_request(), body.format, body.streaming)


@router.post("/tts/timed", response_class=Response, responses=TIMED, openapi_extra=BODY, summary="Speak and tell when")
async def tts_timed(
    request: Request,
    output: Annotated[
        Output, Query(description="`json` holds sound and times; `srt` and `vtt` are subtitles.")
    ] = "json",
) -> Response:
    """Speak `text` as `POST /tts` does, whole, and tell when each sentence and word is said.

    Words have times with the built-in voice; other checkpoints tell the exact edges of the text's segments.
    """
    body = await read_speech_body(request)
    if body.streaming:
        raise BadRequest("Times are known when the speech is whole. Leave streaming off, or use the WebSocket.")
    return await speak_timed(request, body.to_request(), body.format, output)
