"""`/v1/vqgan`: the fish-compatible codec API, with raw codes and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.compat.fish_msgpack import MSGPACK, packed, read_packed
from backend.api.dependencies import AppSettings, Host
from backend.api.engine_host import SpeechEngine
from backend.api.errors import documented
from backend.api.speech.request import Base64Audio
from backend.audio.files import read_audio
from backend.errors import BadAudio, BadCodes

router = APIRouter(prefix="/v1/vqgan", tags=["fish"])

MAX_AUDIOS = 64
MAX_CODE = 2**31


class FishEncodeRequest(BaseModel):
    """Body of `POST /v1/vqgan/encode`."""

    model_config = ConfigDict(extra="forbid")

    audios: list[Base64Audio] = Field(min_length=1, max_length=MAX_AUDIOS, description="Audio files.")


class FishDecodeRequest(BaseModel):
    """Body of `POST /v1/vqgan/decode`."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[list[list[int]]] = Field(
        min_length=1, max_length=MAX_AUDIOS, description="Codes [codebooks][frames] of each audio."
    )


def _body(model: type[BaseModel]) -> dict[str, Any]:
    content = {kind: {"schema": model.model_json_schema()} for kind in ("application/json", MSGPACK)}
    return {"requestBody": {"required": True, "content": content}}


def _responses(description: str) -> dict[int | str, dict[str, Any]]:
    success = {"description": description, "content": {MSGPACK: {}, "application/json": {}}}
    return {200: success, **documented(413, 415, 429, 503)}


@router.post(
    "/encode", response_class=Response, responses=_responses("`tokens`: codes [codebooks][frames] of each audio."),
    openapi_extra=_body(FishEncodeRequest),
)  # fmt: skip
async def encode(request: Request, host: Host, settings: AppSettings) -> Response:
    """Encode audio files with the checkpoint's codec. Their total duration is limited to MAX_AUDIO_S."""
    body = await read_packed(request, FishEncodeRequest)
    tokens = await host.run_task(_encode, host.engine, body.audios, settings.max_audio_s)
    return packed(request, {"tokens": tokens})


@router.post(
    "/decode", response_class=Response, openapi_extra=_body(FishDecodeRequest),
    responses=_responses("`audios`: the samples of each audio as raw little-endian 16-bit floats."),
)  # fmt: skip
async def decode(request: Request, host: Host) -> Response:
    """Decode codes of the checkpoint's codec at its sample rate. Their total duration is limited to MAX_AUDIO_S."""
    body = await read_packed(request, FishDecodeRequest)
    audios = await host.run_task(_decode, host.engine, body.tokens)
    return packed(request, {"audios": audios})


def _encode(engine: SpeechEngine, audios: list[bytes], max_duration_s: float) -> list[Any]:
    tokens, remaining_s = [], max_duration_s
    for audio in audios:
        if not audio:
            raise BadAudio("An audio file is empty. Record or export it again.")
        waveform = read_audio(audio, max_duration_s=remaining_s)
        remaining_s -= waveform.duration_s
        tokens.append(engine.encode(waveform).indices[0].tolist())
    return tokens


def _decode(engine: SpeechEngine, tokens: list[list[list[int]]]) -> list[bytes]:
    codes = []
    for rows in tokens:
        if not rows or len({len(row) for row in rows}) > 1:
            raise BadCodes("Codes are empty or differ in length; expected [codebooks][frames]. Send whole frames.")
        if any(not 0 <= code < MAX_CODE for row in rows for code in row):
            raise BadCodes("A code is negative or too large. Send codes of this checkpoint's codec.")
        codes.append(np.array(rows, np.int64))
    return [waveform.samples[0].astype("<f2").tobytes() for waveform in engine.decode_indices(codes)]
