"""`/codec`: sound to code files and back, with the codec of the loaded checkpoint."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from backend.api.codec_response import MEDIA_TYPE, CodeFileBody, answered, described, documented_headers
from backend.api.engine_host import SpeechEngine, host_of
from backend.api.errors import documented
from backend.api.request_parsing import read_upload, settings_of
from backend.api.speech.request import Format
from backend.api.speech.response import MEDIA_TYPES, encoded
from backend.audio.files import read_audio

router = APIRouter(prefix="/codec", tags=["codec"])

MAX_CODEBOOKS = 255
MAX_SHOWN_FRAMES = 10_000
USUAL_FRAMES = 1000


def _upload(name: str, description: str) -> dict[str, Any]:
    part = {"type": "string", "format": "binary", "description": description}
    form = {"type": "object", "properties": {name: part}, "required": [name], "additionalProperties": False}
    content = {"multipart/form-data": {"schema": form}, MEDIA_TYPE: {"schema": part}}
    return {"requestBody": {"required": True, "content": content}}


SOUND = _upload("audio", "A WAV, FLAC, Ogg or MP3 file.")
CODE_FILE = _upload("codes", "A code file (.pgc).")
CODE_FILE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The code file.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "headers": documented_headers(),
    },
    **documented(413, 415, 429, 503),
}
SOUND_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    },
    **documented(413, 415, 429, 503),
}


@router.post("/encode", response_class=Response, responses=CODE_FILE_ANSWER, openapi_extra=SOUND)
async def encode(
    request: Request,
    n_codebooks: Annotated[int | None, Query(ge=1, le=MAX_CODEBOOKS, description="Fewer are coarser.")] = None,
) -> Response:
    """Turn a sound file into a code file: the bytes that `phonogram encode` writes with this codec."""
    content = await read_upload(request, "audio")
    host, max_duration_s = host_of(request), settings_of(request).max_audio_s
    engine = host.engine
    return await host.work(_encoded, engine, content, n_codebooks, max_duration_s)


@router.post("/decode", response_class=Response, responses=SOUND_ANSWER, openapi_extra=CODE_FILE)
async def decode(
    request: Request, format: Annotated[Format, Query(description="File format of the answer.")] = "wav"
) -> Response:
    """Turn a code file of this codec back into sound. It is checked as a whole first."""
    content = await read_upload(request, "codes")
    host = host_of(request)
    return await host.work(_decoded, host.engine, content, format)


@router.post("/inspect", responses=documented(413, 415, 429, 503), openapi_extra=CODE_FILE)
async def inspect(
    request: Request,
    start_frame: Annotated[int, Query(ge=0, le=2**40, description="The first frame to show.")] = 0,
    max_frames: Annotated[int, Query(ge=0, le=MAX_SHOWN_FRAMES, description="Most frames to show.")] = USUAL_FRAMES,
) -> CodeFileBody:
    """Tell what a code file holds and show its codes, whichever codec wrote it."""
    content = await read_upload(request, "codes")
    host = host_of(request)
    return await host.work(_described, host.engine, content, start_frame, max_frames)


def _encoded(engine: SpeechEngine, content: bytes, n_codebooks: int | None, max_duration_s: float) -> Response:
    return answered(engine.encode_file(read_audio(content, max_duration_s=max_duration_s), n_codebooks))


def _decoded(engine: SpeechEngine, content: bytes, format: str) -> Response:
    waveform = engine.decode_file(content)
    headers = {"Content-Disposition": f'inline; filename="sound.{format}"', "X-Sample-Rate": str(waveform.rate_hz)}
    return Response(encoded(waveform, format), media_type=MEDIA_TYPES[format], headers=headers)


def _described(engine: SpeechEngine, content: bytes, start_frame: int, max_frames: int) -> CodeFileBody:
    return described(engine.read_code_file(content), start_frame, max_frames)
