"""FastAPI dependencies: the parts of the running application that routes use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from backend.api.engine_host import EngineHost
from backend.api.metrics import ServerMetrics
from backend.api.request_history import RequestHistory
from backend.api.speech.live_timings import LiveTimings
from backend.api.system_info import SystemInfo
from backend.pipeline.longform.job_service import JobService
from backend.settings import Settings


def host_of(connection: HTTPConnection) -> EngineHost:
    return connection.app.state.host


def settings_of(connection: HTTPConnection) -> Settings:
    return connection.app.state.settings


def metrics_of(connection: HTTPConnection) -> ServerMetrics:
    return connection.app.state.metrics


def history_of(connection: HTTPConnection) -> RequestHistory:
    return connection.app.state.history


def client_of(connection: HTTPConnection) -> str:
    """Returns the identity used for fair queueing: the name of the API key, else the client's address."""
    return getattr(connection.state, "key_name", None) or (connection.client.host if connection.client else "")


def _depends(read: Callable[[HTTPConnection], Any]) -> Any:
    # A coroutine, because FastAPI runs plain functions in a thread pool.
    async def provide(connection: HTTPConnection) -> Any:
        return read(connection)

    return Depends(provide)


Host = Annotated[EngineHost, _depends(host_of)]
AppSettings = Annotated[Settings, _depends(settings_of)]
Metrics = Annotated[ServerMetrics, _depends(metrics_of)]
Timings = Annotated[LiveTimings, _depends(lambda connection: connection.app.state.timings)]
History = Annotated[RequestHistory, _depends(history_of)]
Jobs = Annotated[JobService, _depends(lambda connection: connection.app.state.jobs)]
System = Annotated[SystemInfo, _depends(lambda connection: connection.app.state.system_info)]
