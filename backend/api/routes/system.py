"""System routes: metrics, health, readiness, request history and cache control."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from backend import __version__
from backend.api.dependencies import AppSettings, History, Host, Metrics, System
from backend.api.errors import documented
from backend.api.request_history import HISTORY_SIZE

if TYPE_CHECKING:
    from backend.opt_engine import EngineStatus

router = APIRouter(tags=["system"])

CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "All metrics.", "content": {"text/plain": {}, "application/json": {}}}
}


@router.get("/metrics", response_class=Response, responses=CONTENT)
async def metrics(
    request: Request,
    host: Host,
    server_metrics: Metrics,
    format: Annotated[
        Literal["prometheus", "json"] | None, Query(description="Takes precedence over the Accept header.")
    ] = None,
) -> Response:
    """Return the metrics in the Prometheus text format, or as JSON with `?format=json` or `Accept: application/json`."""
    is_json = format == "json" or (format is None and "application/json" in request.headers.get("accept", ""))

    def render() -> Response:
        status = None if host.unavailable_reason else host.engine.status()
        if is_json:
            engine = None if status is None else engine_fields(status)
            return JSONResponse({**server_metrics.as_json(), "engine": engine})
        return Response(server_metrics.as_text(status), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return await host.run(render)


def engine_fields(status: EngineStatus) -> dict[str, Any]:
    """Returns the engine's status as JSON. `era` is the old name of `family`."""
    return {**asdict(status), "era": status.family}


class Health(BaseModel):
    """Response of `GET /health`."""

    status: str = "ok"
    service: str = "phonogram"
    version: str = __version__
    device: str = Field(description="Torch device, for example `cpu` or `cuda:0`.")
    device_name: str
    device_reason: str = Field(description="Reason for the choice of this device.")
    torch_version: str
    torch_threads: int = Field(description="CPU threads per torch operation.")
    python_version: str
    uptime_s: float


@router.get("/health")
async def health(system: System) -> Health:
    """Return the version, device and uptime. Needs no API key."""
    return Health(
        device=system.device.label,
        device_name=system.device.name,
        device_reason=system.device.reason,
        torch_version=system.torch_version,
        torch_threads=system.torch_threads,
        python_version=system.python_version,
        uptime_s=round(time.monotonic() - system.started_s, 3),
    )


class Readiness(BaseModel):
    """Response of `GET /ready`."""

    ready: bool
    loading: bool = Field(default=False, description="True while the engine is loading.")
    message: str
    max_text_chars: int = Field(description="Maximum text of one speech request, in characters.")
    engine: dict[str, Any] | None = Field(
        default=None,
        description="Status of the engine; omitted when API_KEY is set, because /ready is public. See /metrics.",
    )


@router.get("/ready", responses={503: {"model": Readiness, "description": "Not ready, with the reason."}})
async def ready(response: Response, host: Host, settings: AppSettings) -> Readiness:
    """Return 200 when the engine can generate speech, else 503 with the reason. Needs no API key."""
    reason = host.unavailable_reason
    if reason is not None:
        response.status_code = 503
        return Readiness(ready=False, loading=host.is_loading, message=reason, max_text_chars=settings.max_text_chars)
    status = await host.run(host.engine.status)
    # This path is public, so a server with an API key does not expose its status here.
    is_private = bool(settings.api_key)
    return Readiness(
        ready=True, message="Ready to speak.", max_text_chars=settings.max_text_chars,
        engine=None if is_private else engine_fields(status),
    )  # fmt: skip


class SpeechRow(BaseModel):
    """One speech request; times are in seconds, as a client measures them."""

    id: str = Field(description="`X-Request-Id` of the response and of the request's log lines.")
    at: str = Field(description="Arrival time, ISO 8601.")
    door: str = Field(description="Route of the request.")
    voice: str | None
    n_chars: int
    status: str = Field(description="`done`, `cancelled`, `failed` or `refused`.")
    finish: str | None = Field(description="Finish reason.")
    audio_s: float
    first_audio_s: float = Field(description="Time to first audio (TTFA).")
    total_s: float
    rtf: float = Field(description="Real-time factor: seconds of processing per second of audio.")
    queue_s: float = Field(description="Time in the queue.")
    underrun_s: float = Field(description="Total underrun of a client that plays each chunk on arrival.")


class RecentRequests(BaseModel):
    """Response of `GET /requests`."""

    requests: list[SpeechRow]


@router.get("/requests")
async def requests(
    history: History,
    limit: Annotated[int, Query(ge=1, le=HISTORY_SIZE, description="Maximum number of requests.")] = 50,
) -> RecentRequests:
    """List the latest speech requests, newest first. Texts are not stored."""
    return RecentRequests(requests=[SpeechRow(**asdict(row)) for row in history.newest(limit)])


class ClearedCaches(BaseModel):
    """Response of `POST /cache/clear`."""

    cleared: dict[str, int] = Field(description="Number of removed entries per cache.")


@router.post("/cache/clear", responses=documented(503))
async def clear(host: Host) -> ClearedCaches:
    """Clear all caches. The next requests are slower; their results do not change."""
    return ClearedCaches(cleared=await host.run(host.engine.clear_caches))
