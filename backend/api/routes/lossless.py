"""`/lossless`: WAV and AIFF files to `.pgl` and back, byte for byte, and the bits per sample over time."""

from __future__ import annotations

import io
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.dependencies import AppSettings, Host
from backend.api.errors import documented
from backend.api.request_parsing import read_upload
from backend.compression.lossless.levels import DEFAULT_LEVEL, LEVELS
from backend.pipeline.lossless import compress as lossless

router = APIRouter(prefix="/lossless", tags=["lossless"])

MEDIA_TYPE = "application/octet-stream"
HEADERS = {
    "X-Source-Bytes": "Bytes of the audio file.",
    "X-Compressed-Bytes": "Bytes of the .pgl file.",
    "X-Duration-S": "Length of the sound in seconds.",
}


class LosslessBody(BaseModel):
    """The response of `POST /lossless/inspect`."""

    level: int
    sample_rate_hz: int
    channels: int
    bits: int = Field(description="Bits per sample of the audio file.")
    n_samples: int = Field(description="Samples of each channel.")
    duration_s: float
    source_bytes: int
    file_bytes: int
    flac_bytes: int | None = Field(description="The same samples as FLAC at its highest level; null where FLAC cannot.")
    md5: str = Field(description="MD5 of the PCM bytes.")
    piece_s: float = Field(description="Seconds that each number of `piece_bits` stands for.")
    piece_bits: list[float] = Field(description="Bits per sample, piece by piece.")


def _upload(name: str, description: str) -> dict[str, Any]:
    part = {"type": "string", "format": "binary", "description": description}
    form = {"type": "object", "properties": {name: part}, "required": [name], "additionalProperties": False}
    content = {"multipart/form-data": {"schema": form}, MEDIA_TYPE: {"schema": part}}
    return {"requestBody": {"required": True, "content": content}}


def _responses(description: str) -> dict[int | str, dict[str, Any]]:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()}
    content = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": description, "content": content, "headers": headers},
        **documented(413, 415, 429, 503),
    }


SOUND = _upload("audio", "A WAV or AIFF file.")
PGL = _upload("file", "A .pgl file.")


@router.post("/compress", response_class=Response, responses=_responses("The .pgl file."), openapi_extra=SOUND)
async def compress(
    request: Request,
    host: Host,
    level: Annotated[
        int, Query(ge=LEVELS.start, le=LEVELS.stop - 1, description="1 is fastest, 9 smallest.")
    ] = DEFAULT_LEVEL,
) -> Response:
    """Compress a WAV or AIFF file; every byte of it comes back from `POST /lossless/decompress`."""
    content = await read_upload(request, "audio")
    return await host.run_task(_compressed, content, level)


@router.post("/decompress", response_class=Response, responses=_responses("The audio file."), openapi_extra=PGL)
async def decompress(request: Request, host: Host, settings: AppSettings) -> Response:
    """Return the audio file that a `.pgl` file was made of. It is checked as a whole first."""
    content = await read_upload(request, "file")
    return await host.run_task(_decompressed, content, settings.max_upload_mb * 2**20)


@router.post("/inspect", responses=documented(413, 415, 429, 503), openapi_extra=PGL)
async def inspect(request: Request, host: Host, settings: AppSettings) -> LosslessBody:
    """Return what a `.pgl` file holds, its size as FLAC, and its bits per sample over time."""
    content = await read_upload(request, "file")
    return await host.run_task(_inspected, content, settings.max_upload_mb * 2**20)


def _compressed(content: bytes, level: int) -> Response:
    target = io.BytesIO()
    report = lossless.compress(io.BytesIO(content), target, level=level, n_workers=lossless.workers(None))
    return _file(target.getvalue(), report.source_bytes, report.compressed_bytes, report.duration_s, "sound.pgl")


def _decompressed(content: bytes, max_bytes: int) -> Response:
    target = io.BytesIO()
    report = lossless.decompress(io.BytesIO(content), target, n_workers=lossless.workers(None), max_bytes=max_bytes)
    suffix = "aiff" if target.getvalue()[:4] == b"FORM" else "wav"
    return _file(target.getvalue(), report.source_bytes, len(content), report.duration_s, f"sound.{suffix}")


def _file(content: bytes, source_bytes: int, compressed_bytes: int, duration_s: float, name: str) -> Response:
    facts = (str(source_bytes), str(compressed_bytes), f"{duration_s:.3f}")
    headers = dict(zip(HEADERS, facts, strict=True))
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(content, media_type=MEDIA_TYPE, headers=headers)


def _inspected(content: bytes, max_bytes: int) -> LosslessBody:
    from backend.pipeline.lossless.inspect import decoded_costs

    costs = decoded_costs(io.BytesIO(content), max_bytes)
    survey = costs.survey
    layout = survey.layout
    return LosslessBody(
        level=survey.level, sample_rate_hz=layout.rate_hz, channels=layout.channels, bits=8 * layout.sample_bytes,
        n_samples=survey.n_frames, duration_s=survey.duration_s, source_bytes=survey.source_bytes,
        file_bytes=survey.file_bytes, flac_bytes=costs.flac_bytes, md5=survey.md5, piece_s=costs.piece_s,
        piece_bits=costs.piece_bits,
    )  # fmt: skip
