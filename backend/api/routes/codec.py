"""`/codec`: encodes audio to code files, decodes them, and inspects them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from backend.api.codec_response import MEDIA_TYPE, CodeFileBody, code_file_body, code_file_response, documented_headers
from backend.api.dependencies import AppSettings, Host
from backend.api.engine_host import SpeechEngine
from backend.api.errors import documented
from backend.api.request_parsing import read_upload
from backend.api.speech.request import Format
from backend.api.speech.response import MEDIA_TYPES, encoded
from backend.audio.files import read_audio

router = APIRouter(prefix="/codec", tags=["codec"])

MAX_CODEBOOKS = 255
MAX_SHOWN_FRAMES = 10_000
DEFAULT_FRAMES = 1000


def _upload(name: str, description: str) -> dict[str, Any]:
    part = {"type": "string", "format": "binary", "description": description}
    form = {"type": "object", "properties": {name: part}, "required": [name], "additionalProperties": False}
    content = {"multipart/form-data": {"schema": form}, MEDIA_TYPE: {"schema": part}}
    return {"requestBody": {"required": True, "content": content}}


AUDIO = _upload("audio", "A WAV, FLAC, Ogg or MP3 file.")
CODE_FILE = _upload("codes", "A code file (.pgc).")
CODE_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The code file.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "headers": documented_headers(),
    },
    **documented(413, 415, 429, 503),
}
AUDIO_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The audio file.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    },
    **documented(413, 415, 429, 503),
}


@router.post("/encode", response_class=Response, responses=CODE_FILE_RESPONSES, openapi_extra=AUDIO)
async def encode(
    request: Request,
    host: Host,
    settings: AppSettings,
    n_codebooks: Annotated[
        int | None, Query(ge=1, le=MAX_CODEBOOKS, description="Codebooks to keep; fewer lower the bitrate and quality.")
    ] = None,
) -> Response:
    """Encode an audio file to a code file, identical to the output of `phonogram encode` with this codec."""
    content = await read_upload(request, "audio")
    return await host.run_task(_encode, host.engine, content, n_codebooks, settings.max_audio_s)


@router.post("/decode", response_class=Response, responses=AUDIO_RESPONSES, openapi_extra=CODE_FILE)
async def decode(
    request: Request, host: Host, format: Annotated[Format, Query(description="Audio format of the response.")] = "wav"
) -> Response:
    """Decode a code file of this codec to audio. The whole file is validated first."""
    content = await read_upload(request, "codes")
    return await host.run_task(_decode, host.engine, content, format)


@router.post("/inspect", responses=documented(413, 415, 429, 503), openapi_extra=CODE_FILE)
async def inspect(
    request: Request,
    host: Host,
    start_frame: Annotated[int, Query(ge=0, le=2**40, description="Index of the first frame.")] = 0,
    max_frames: Annotated[
        int, Query(ge=0, le=MAX_SHOWN_FRAMES, description="Maximum number of frames.")
    ] = DEFAULT_FRAMES,
) -> CodeFileBody:
    """Return the metadata and codes of a code file of any codec."""
    content = await read_upload(request, "codes")
    return await host.run_task(_inspect, host.engine, content, start_frame, max_frames)


def _encode(engine: SpeechEngine, content: bytes, n_codebooks: int | None, max_duration_s: float) -> Response:
    return code_file_response(engine.encode_file(read_audio(content, max_duration_s=max_duration_s), n_codebooks))


def _decode(engine: SpeechEngine, content: bytes, format: str) -> Response:
    waveform = engine.decode_file(content)
    headers = {"Content-Disposition": f'inline; filename="sound.{format}"', "X-Sample-Rate": str(waveform.rate_hz)}
    return Response(encoded(waveform, format), media_type=MEDIA_TYPES[format], headers=headers)


def _inspect(engine: SpeechEngine, content: bytes, start_frame: int, max_frames: int) -> CodeFileBody:
    return code_file_body(engine.read_code_file(content), start_frame, max_frames)
