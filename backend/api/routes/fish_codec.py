"""`/v1/vqgan`: sound to bare codes and back, as fish's clients ask for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.compat.fish_msgpack import MSGPACK, packed, read_packed
from backend.api.engine_host import SpeechEngine, host_of
from backend.api.errors import documented
from backend.api.request_parsing import settings_of
from backend.api.speech.request import Sound
from backend.audio.files import read_audio
from backend.errors import BadAudio, BadCodes

router = APIRouter(prefix="/v1/vqgan", tags=["fish"])

MAX_SOUNDS = 64
MAX_CODE = 2**31


class FishEncodeRequest(BaseModel):
    """The body of `POST /v1/vqgan/encode`."""

    model_config = ConfigDict(extra="forbid")

    audios: list[Sound] = Field(min_length=1, max_length=MAX_SOUNDS, description="Sound files.")


class FishDecodeRequest(BaseModel):
    """The body of `POST /v1/vqgan/decode`."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[list[list[int]]] = Field(
        min_length=1, max_length=MAX_SOUNDS, description="Codes [codebooks][frames] of each sound."
    )


def _body(model: type[BaseModel]) -> dict[str, Any]:
    content = {kind: {"schema": model.model_json_schema()} for kind in ("application/json", MSGPACK)}
    return {"requestBody": {"required": True, "content": content}}


def _answers(description: str) -> dict[int | str, dict[str, Any]]:
    answer = {"description": description, "content": {MSGPACK: {}, "application/json": {}}}
    return {200: answer, **documented(413, 415, 429, 503)}


@router.post(
    "/encode", response_class=Response, responses=_answers("`tokens`: codes [codebooks][frames] of each sound."),
    openapi_extra=_body(FishEncodeRequest),
)  # fmt: skip
async def encode(request: Request) -> Response:
    """Turn sound files into codes of the checkpoint's codec. All together may last MAX_AUDIO_S."""
    body = await read_packed(request, FishEncodeRequest)
    host, left_s = host_of(request), settings_of(request).max_audio_s
    tokens = await host.work(_tokens, host.engine, body.audios, left_s)
    return packed(request, {"tokens": tokens})


@router.post(
    "/decode", response_class=Response, openapi_extra=_body(FishDecodeRequest),
    responses=_answers("`audios`: the samples of each sound as bare 16-bit floats, little-endian."),
)  # fmt: skip
async def decode(request: Request) -> Response:
    """Turn codes of the checkpoint's codec into samples at its rate. All together may last MAX_AUDIO_S."""
    body = await read_packed(request, FishDecodeRequest)
    host = host_of(request)
    audios = await host.work(_samples, host.engine, body.tokens)
    return packed(request, {"audios": audios})


def _tokens(engine: SpeechEngine, audios: list[bytes], left_s: float) -> list[Any]:
    tokens = []
    for audio in audios:
        if not audio:
            raise BadAudio("A sound file is empty. Record or export it again.")
        waveform = read_audio(audio, max_duration_s=left_s)
        left_s -= waveform.duration_s
        tokens.append(engine.encode(waveform).indices[0].tolist())
    return tokens


def _samples(engine: SpeechEngine, tokens: list[list[list[int]]]) -> list[bytes]:
    sounds = []
    for rows in tokens:
        if not rows or len({len(row) for row in rows}) > 1:
            raise BadCodes("Codes are empty or of unequal lengths; expected [codebooks][frames]. Send whole frames.")
        if any(not 0 <= code < MAX_CODE for row in rows for code in row):
            raise BadCodes("A code is negative or too large. Send codes of this checkpoint's codec.")
        sounds.append(np.array(rows, np.int64))
    return [sound.samples[0].astype("<f2").tobytes() for sound in engine.decode_indices(sounds)]
