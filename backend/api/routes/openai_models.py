"""`/v1/models`: the OpenAI-compatible model list."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.api.dependencies import Host, System
from backend.api.engine_host import EngineHost
from backend.api.errors import documented
from backend.api.system_info import SystemInfo
from backend.errors import UnknownModel

router = APIRouter(prefix="/v1", tags=["openai"])

# Model names that clients send by default; all of them use the loaded checkpoint.
ALIASES = ("phonogram", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
MAX_MODEL_CHARS = 255


class Model(BaseModel):
    """A model in OpenAI's format."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Start time of this server, in seconds since 1970.")
    owned_by: Literal["phonogram"] = "phonogram"


class ModelList(BaseModel):
    """Response of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[Model]


class SpeechModel(BaseModel):
    """A model with its id and name."""

    id: str
    name: str


class SpeechModels(BaseModel):
    """Response of `GET /v1/audio/models`."""

    models: list[SpeechModel]


async def model_ids(host: EngineHost) -> tuple[str, ...]:
    """Returns the name of the loaded checkpoint and its aliases; only the aliases while it is loading."""
    if host.unavailable_reason is not None:
        return ALIASES
    status = await host.run(host.engine.status)
    return tuple(dict.fromkeys((status.model, *ALIASES)))


async def loaded_model(host: EngineHost) -> str:
    """Returns the name of the loaded checkpoint; raises `NotReady` while it is loading."""
    return (await host.run(host.engine.status)).model


async def require_model(host: EngineHost, model_id: str) -> None:
    """Raises `UnknownModel` for a name that `GET /v1/models` does not list."""
    known = await model_ids(host)
    if model_id not in known:
        raise UnknownModel(
            f"There is no model '{model_id[:40]}'; expected one of {', '.join(known)}. Use one of these."
        )


@router.get("/models")
async def models(host: Host, system: System) -> ModelList:
    """List the model names that speech requests may use."""
    created = _started_at(system)
    return ModelList(data=[Model(id=name, created=created) for name in await model_ids(host)])


@router.get("/models/{model_id}", responses=documented(404))
async def model(host: Host, system: System, model_id: str) -> Model:
    """Return a model by its name."""
    await require_model(host, model_id)
    return Model(id=model_id, created=_started_at(system))


@router.get("/audio/models")
async def audio_models(host: Host) -> SpeechModels:
    """List the model names with ids and names, as Open WebUI expects them."""
    return SpeechModels(models=[SpeechModel(id=name, name=name) for name in await model_ids(host)])


def _started_at(system: SystemInfo) -> int:
    return int(time.time() - (time.monotonic() - system.started_s))
