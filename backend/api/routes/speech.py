"""`POST /tts` and `POST /tts/timed`: text to speech."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from backend.api.errors import documented
from backend.api.speech.headers import documented_headers
from backend.api.speech.request import SpeechBody, form_schema, json_schema, read_speech_body
from backend.api.speech.response import MEDIA_TYPES, speak
from backend.api.speech.timestamps import SUBTITLE_TYPES, Output, TimedBody, speak_timed
from backend.errors import BadRequest

router = APIRouter(tags=["speech"])

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The speech. Streamed responses carry only the headers known at the first audio.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
        "headers": documented_headers(),
    },
    429: {**documented(429)[429], "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}},
    **documented(404, 413, 415, 503, 504),
}  # fmt: skip

TIMED: dict[int | str, dict[str, Any]] = {
    **RESPONSES,
    200: {
        "model": TimedBody,
        "description": "The speech with timestamps, or subtitles.",
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


@router.post("/tts", response_class=Response, responses=RESPONSES, openapi_extra=BODY, summary="Speak a text")
async def tts(request: Request, body: Annotated[SpeechBody, Depends(read_speech_body)]) -> Response:
    """Synthesize `text` with a voice from `GET /voices`, or with a voice cloned from `references`.

    With `streaming` the audio is sent while it is generated. Unknown fields are rejected by name.
    """
    return await speak(request, body.to_request(), body.format, body.streaming)


@router.post(
    "/tts/timed", response_class=Response, responses=TIMED, openapi_extra=BODY, summary="Speak with timestamps"
)
async def tts_timed(
    request: Request,
    body: Annotated[SpeechBody, Depends(read_speech_body)],
    output: Annotated[
        Output, Query(description="`json` has audio and timestamps; `srt` and `vtt` are subtitles.")
    ] = "json",
) -> Response:
    """Synthesize `text` like `POST /tts`, not streamed, with timestamps of each sentence and word.

    The built-in voice provides word timestamps; other checkpoints provide exact timestamps of text segments.
    """
    if body.streaming:
        raise BadRequest("Timestamps need the complete speech. Turn streaming off, or use the WebSocket.")
    return await speak_timed(request, body.to_request(), body.format, output)
