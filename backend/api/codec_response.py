"""Responses with a code file: the file with metadata headers, or its content as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/octet-stream"

CODE_FILE_HEADERS = {
    "X-Codec": "Name of the codec.",
    "X-Frames": "Number of frames.",
    "X-Codebooks": "Codes per frame.",
    "X-Kbps": "Bitrate of the whole file in kbit/s.",
    "X-Duration-S": "Duration of the audio in seconds.",
}


class CodeFileBody(BaseModel):
    """Response of `POST /codec/inspect`."""

    codec: str
    weights_hash: str = Field(description="Prefix of the SHA-256 of the codec weights that produced the codes.")
    is_decodable: bool = Field(description="Whether the loaded codec can decode this file.")
    sample_rate_hz: int
    hop_samples: int = Field(description="Samples per frame.")
    frame_rate_hz: float
    channels: int
    codebook_sizes: list[int]
    n_codebooks: int
    n_frames: int
    n_samples: int
    duration_s: float
    file_bytes: int
    file_kbps: float = Field(description="Bitrate of the whole file in kbit/s.")
    payload_kbps: float = Field(description="Bitrate of the packed codes alone in kbit/s.")
    start_frame: int = Field(description="Index of the first frame in `codes`.")
    codes: list[list[int]] = Field(description="Codes [codebooks][frames], limited to the requested frames.")


def code_file_response(file: Any) -> Response:
    """Returns a code file of the engine as a download."""
    survey = file.survey
    values = (
        survey.header.codec, survey.n_frames, survey.header.n_codebooks, f"{survey.file_kbps:.3f}",
        f"{survey.duration_s:.3f}",
    )  # fmt: skip
    headers = {name: str(value) for name, value in zip(CODE_FILE_HEADERS, values, strict=True)}
    headers["Content-Disposition"] = 'attachment; filename="speech.pgc"'
    return Response(file.content, media_type=MEDIA_TYPE, headers=headers)


def code_file_body(file: Any, start_frame: int, max_frames: int) -> CodeFileBody:
    """Returns the metadata of a code file and at most `max_frames` frames of its codes."""
    survey, header = file.survey, file.survey.header
    return CodeFileBody(
        codec=header.codec, weights_hash=header.weights_hash, is_decodable=file.is_own,
        sample_rate_hz=header.sample_rate_hz, hop_samples=header.hop_samples,
        frame_rate_hz=header.sample_rate_hz / header.hop_samples, channels=header.channels,
        codebook_sizes=list(header.codebook_sizes), n_codebooks=header.n_codebooks, n_frames=survey.n_frames,
        n_samples=survey.n_samples, duration_s=survey.duration_s, file_bytes=survey.file_bytes,
        file_kbps=survey.file_kbps, payload_kbps=survey.payload_kbps, start_frame=start_frame,
        codes=file.indices[:, start_frame : start_frame + max_frames].tolist(),
    )  # fmt: skip


def documented_headers() -> dict[str, dict[str, Any]]:
    """Returns the headers as OpenAPI describes them."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in CODE_FILE_HEADERS.items()}
