"""`/v1/models`: the names of what is loaded, as OpenAI's clients ask for them."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.errors import UnknownModel

router = APIRouter(prefix="/v1", tags=["openai"])

# Names that clients send without asking; whatever is loaded answers to them.
ALIASES = ("phonogram", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
MAX_MODEL_CHARS = 255


class Model(BaseModel):
    """A name to ask for speech by."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this server started, in seconds since 1970.")
    owned_by: Literal["phonogram"] = "phonogram"


class ModelList(BaseModel):
    """The answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[Model]


class SpeechModel(BaseModel):
    """A model by the two fields that pages read."""

    id: str
    name: str


class SpeechModels(BaseModel):
    """The answer of `GET /v1/audio/models`."""

    models: list[SpeechModel]


async def model_ids(request: Request) -> tuple[str, ...]:
    """The loaded checkpoint first, then the names it also answers to; only those while it is being loaded."""
    host = host_of(request)
    if host.missing is not None:
        return ALIASES
    status = await host.run(host.engine.status)
    return tuple(dict.fromkeys((status.model, *ALIASES)))


async def require_model(request: Request, model_id: str) -> None:
    """Raise `UnknownModel` for a name that `GET /v1/models` does not list."""
    if model_id in ALIASES:
        return
    known = await model_ids(request)
    if model_id not in known:
        raise UnknownModel(
            f"There is no model '{model_id[:40]}'; this server answers to {', '.join(known)}. Ask for one of these."
        )


@router.get("/models")
async def models(request: Request) -> ModelList:
    """List the names speech can be asked for by."""
    created = _started_at(request)
    return ModelList(data=[Model(id=name, created=created) for name in await model_ids(request)])


@router.get("/models/{model_id}", responses=documented(404))
async def model(request: Request, model_id: str) -> Model:
    """Tell whether there is a model of this name."""
    await require_model(request, model_id)
    return Model(id=model_id, created=_started_at(request))


@router.get("/audio/models")
async def audio_models(request: Request) -> SpeechModels:
    """The same names as some pages look for them."""
    return SpeechModels(models=[SpeechModel(id=name, name=name) for name in await model_ids(request)])


def _started_at(request: Request) -> int:
    return int(time.time() - (time.monotonic() - request.app.state.machine.started_s))
