"""`GET /metrics`: what the server has done so far."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from backend import __version__
from backend.api.engine_host import host_of
from backend.api.errors import documented
from backend.api.metrics import ServerMetrics
from backend.api.request_history import MOST_KEPT, RecentSpeeches
from backend.api.system_info import SystemInfo

if TYPE_CHECKING:
    from backend.opt_engine import EngineStatus

router = APIRouter(tags=["system"])

CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "All measures.", "content": {"text/plain": {}, "application/json": {}}}
}


@router.get("/metrics", response_class=Response, responses=CONTENT)
async def metrics(
    request: Request,
    format: Annotated[Literal["prometheus", "json"] | None, Query(description="Wins over the Accept header.")] = None,
) -> Response:
    """The text format of Prometheus, or JSON with `?format=json` or `Accept: application/json`."""
    measures: ServerMetrics = request.app.state.measures
    host = host_of(request)
    is_json = format == "json" or (format is None and "application/json" in request.headers.get("accept", ""))

    def told() -> Response:
        status = None if host.missing else host.engine.status()
        if is_json:
            return JSONResponse({**measures.as_json(), "engine": None if status is None else engine_fields(status)})
        return Response(measures.as_text(status), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return await host.run(told)


def engine_fields(status: EngineStatus) -> dict[str, Any]:
    """The engine's status as JSON. `era` is the older name of `family`."""
    return {**asdict(status), "era": status.family}


class Health(BaseModel):
    """The answer of `GET /health`."""

    status: str = "ok"
    service: str = "phonogram"
    version: str = __version__
    device: str = Field(description="What torch calls it, such as `cpu` or `cuda:0`.")
    device_name: str
    device_reason: str = Field(description="Why this device was picked.")
    torch_version: str
    torch_threads: int = Field(description="Processor threads one operation may use.")
    python_version: str
    uptime_s: float


@router.get("/health")
async def health(request: Request) -> Health:
    """Tell the version, the device and how long the server has been up. Never needs a key."""
    machine: SystemInfo = request.app.state.machine
    return Health(
        device=machine.device.label,
        device_name=machine.device.name,
        device_reason=machine.device.reason,
        torch_version=machine.torch_version,
        torch_threads=machine.torch_threads,
        python_version=machine.python_version,
        uptime_s=round(time.monotonic() - machine.started_s, 3),
    )


class Readiness(BaseModel):
    """The answer of `GET /ready`."""

    ready: bool
    loading: bool = Field(default=False, description="True while waiting helps.")
    message: str
    engine: dict[str, Any] | None = Field(
        default=None,
        description="What the engine says of itself; left out on a server with a key, where /metrics tells.",
    )


@router.get("/ready", responses={503: {"model": Readiness, "description": "Not able to speak, and why."}})
async def ready(request: Request, response: Response) -> Readiness:
    """Answer 200 when a text can be spoken now, else 503 with the reason. Never needs a key."""
    host = host_of(request)
    reason = host.missing
    if reason is not None:
        response.status_code = 503
        return Readiness(ready=False, loading=host.is_loading, message=reason)
    status = await host.run(host.engine.status)
    # The path is open to everyone: who sets a key does not mean to tell strangers about the machine.
    is_private = bool(request.app.state.settings.api_key)
    return Readiness(ready=True, message="Ready to speak.", engine=None if is_private else engine_fields(status))


class SpeechRow(BaseModel):
    """One speech; times in seconds as a client measures them."""

    id: str = Field(description="`X-Request-Id` of the answer, and of the request's lines in the log.")
    at: str = Field(description="When it came in.")
    door: str = Field(description="The route it came through.")
    voice: str | None
    n_chars: int
    status: str = Field(description="`done`, `cancelled`, `failed` or `refused`.")
    finish: str | None = Field(description="Why the speech ended.")
    audio_s: float
    first_audio_s: float = Field(description="Until the first sound left the server.")
    total_s: float
    rtf: float = Field(description="Seconds per second of sound.")
    queue_s: float = Field(description="Waiting for a place.")
    underrun_s: float = Field(description="Silence of a listener who played each piece as it came.")


class RecentRequests(BaseModel):
    """The answer of `GET /requests`."""

    requests: list[SpeechRow]


@router.get("/requests")
async def requests(
    request: Request, limit: Annotated[int, Query(ge=1, le=MOST_KEPT, description="How many, newest first.")] = 50
) -> RecentRequests:
    """The last speeches, newest first. Their texts are not kept."""
    recent: RecentSpeeches = request.app.state.recent
    return RecentRequests(requests=[SpeechRow(**asdict(row)) for row in recent.newest(limit)])


class ClearedCaches(BaseModel):
    """The answer of `POST /cache/clear`."""

    cleared: dict[str, int] = Field(description="Entries that were forgotten, by cache.")


@router.post("/cache/clear", responses=documented(503))
async def clear(request: Request) -> ClearedCaches:
    """Empty every cache; the next requests are slower and no different."""
    host = host_of(request)
    return ClearedCaches(cleared=await host.run(host.engine.clear_caches))
