"""A code file as an answer: its bytes with what they are in the headers, or what is in it as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/octet-stream"

CODE_FILE_HEADERS = {
    "X-Codec": "The codec whose codes these are.",
    "X-Frames": "Frames of codes.",
    "X-Codebooks": "Codes per frame.",
    "X-Kbps": "Bits of the whole file per millisecond of sound.",
    "X-Duration-S": "Length of the sound in seconds.",
}


class CodeFileBody(BaseModel):
    """The answer of `POST /codec/inspect`."""

    codec: str
    weights_hash: str = Field(description="Begin of the SHA-256 of the weights that give the codes their meaning.")
    is_decodable: bool = Field(description="Whether the loaded codec is the one that wrote it.")
    sample_rate_hz: int
    hop_samples: int = Field(description="Samples one frame stands for.")
    frame_rate_hz: float
    channels: int
    codebook_sizes: list[int]
    n_codebooks: int
    n_frames: int
    n_samples: int
    duration_s: float
    file_bytes: int
    file_kbps: float = Field(description="Bits of the whole file per millisecond of sound.")
    payload_kbps: float = Field(description="The same of the packed codes alone.")
    start_frame: int = Field(description="Which frame `codes` begins with.")
    codes: list[list[int]] = Field(description="Codes [codebooks][frames], as many frames as were asked for.")


def answered(file: Any) -> Response:
    """A code file as the engine gives it, to be downloaded."""
    survey = file.survey
    facts = (
        survey.header.codec, survey.n_frames, survey.header.n_codebooks, f"{survey.file_kbps:.3f}",
        f"{survey.duration_s:.3f}",
    )  # fmt: skip
    headers = {name: str(fact) for name, fact in zip(CODE_FILE_HEADERS, facts, strict=True)}
    headers["Content-Disposition"] = 'attachment; filename="speech.pgc"'
    return Response(file.content, media_type=MEDIA_TYPE, headers=headers)


def described(file: Any, start_frame: int, max_frames: int) -> CodeFileBody:
    """What is in a code file, with `max_frames` frames of its codes at most."""
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
    """The headers as OpenAPI describes them."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in CODE_FILE_HEADERS.items()}
