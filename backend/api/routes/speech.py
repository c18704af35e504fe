"""`POST /tts` and `POST /tts/timed`: text to speech."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.dependencies import AppSettings, Host, Timings
from backend.api.errors import documented
from backend.api.request_parsing import read_upload
from backend.api.speech.headers import documented_headers
from backend.api.speech.request import Format, SpeechBody, form_schema, json_schema, read_speech_body
from backend.api.speech.response import MEDIA_TYPES, encoded, speak
from backend.api.speech.timestamps import (
    SUBTITLE_TYPES,
    Output,
    SentenceTime,
    TimedBody,
    sentence_times,
    speak_timed,
)
from backend.audio.files import read_audio
from backend.errors import BadAudio, BadRequest, OutputError

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

UPLOAD = {"type": "string", "format": "binary", "description": "A WAV, FLAC, Ogg or MP3 file."}
CONVERT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object", "properties": {"audio": UPLOAD}, "required": ["audio"], "additionalProperties": False,
                }
            },
            "application/octet-stream": {"schema": UPLOAD},
        },
    }
}  # fmt: skip
CONVERTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The audio file.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    },
    **documented(413, 415, 429, 503),
}


class LiveTimingsBody(BaseModel):
    """Response of `GET /tts/timings/{timings_id}`."""

    is_complete: bool = Field(description="False while the speech is generated: more sentences may follow.")
    has_words: bool = Field(description="False for checkpoints without word timestamps.")
    sentences: list[SentenceTime]


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


@router.get("/tts/timings/{timings_id}", responses=documented(404))
async def timings(
    host: Host, known: Timings,
    timings_id: Annotated[str, Path(max_length=64, description="The `X-Timings-Id` header of the speech request.")],
) -> LiveTimingsBody:  # fmt: skip
    """Return the timestamps of a running or recent speech, so that a client can highlight words while it plays.

    The client chooses the id, sends it as the header `X-Timings-Id` of `POST /tts` and polls while it plays.
    """
    found = await host.run(known.find, timings_id)
    if found is None:
        raise HTTPException(404, "There are no timestamps with this id. Send X-Timings-Id with the speech request.")
    sentences = sentence_times(found.sentences)
    return LiveTimingsBody(
        is_complete=found.is_complete, has_words=any(one.words for one in sentences), sentences=sentences
    )


@router.post("/audio/convert", response_class=Response, responses=CONVERTED, openapi_extra=CONVERT_BODY)
async def convert(
    request: Request, host: Host, settings: AppSettings,
    format: Annotated[Format, Query(description="Audio format of the response.")] = "wav",
) -> Response:  # fmt: skip
    """Return an audio file in another format, with the same samples before the codec of that format."""
    content = await read_upload(request, "audio")

    def convert_file() -> bytes:
        waveform = read_audio(content, max_duration_s=settings.max_audio_s)
        try:
            return encoded(waveform, format)
        except OutputError as error:  # the upload's channels or rate, not a fault of the server
            raise BadAudio(str(error)) from error

    converted = await host.run(convert_file)
    headers = {"Content-Disposition": f'attachment; filename="speech.{format}"'}
    return Response(converted, media_type=MEDIA_TYPES[format], headers=headers)
