"""The web application. `uvicorn backend.app:app` starts it; `create_app` builds one for any settings."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI

from backend import __version__
from backend.api import errors, openapi
from backend.api.compat.wyoming.server import WyomingServer
from backend.api.engine_host import EngineHost, SpeechEngine
from backend.api.metrics import ServerMetrics
from backend.api.middleware.api_keys import SHORT_KEY_CHARS, ApiKeys
from backend.api.middleware.install import install_middleware
from backend.api.middleware.request_log import RequestLogMiddleware
from backend.api.request_history import RecentSpeeches
from backend.api.routes import ROUTERS
from backend.api.system_info import read_system_info
from backend.errors import BadSettings
from backend.monitor.log_format import FORMATTERS, LogFormat
from backend.pipeline.longform.job_service import JobLimits, JobService
from backend.settings import Settings, load_settings

log = logging.getLogger(__name__)

Role = Literal["alone", "speaker", "desk"]
# Threads that compute let the one that answers have its turn this soon. Python's own 5 ms come several times in one
# answer: /health took 96 ms at p95 beside two that encode long sounds, 16 ms with this.
SWITCH_INTERVAL_S = 0.001
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def build_engine(settings: Settings) -> SpeechEngine:
    """The engine of these settings, not loaded yet."""
    from backend.opt_engine import OptimizedEngine

    return OptimizedEngine(settings)


def build_jobs(settings: Settings, host: EngineHost) -> JobService:
    """The jobs of these settings, spoken by the engine of `host` once it is loaded."""
    limits = JobLimits(
        max_chars=settings.max_book_chars, max_jobs=settings.max_jobs, quota_bytes=settings.data_quota_mb * 2**20,
        n_rows=settings.job_rows,
    )  # fmt: skip
    return JobService(settings.folder(settings.data_dir) / "jobs", lambda: host.engine, limits)


def create_app(
    settings: Settings, build: Callable[[Settings], SpeechEngine] = build_engine, role: Role = "alone"
) -> FastAPI:
    """Build the application. The device is looked up when it starts, not here; the engine loads after that.

    Behind the door of a cluster, one "desk" keeps what is on disk and "speaker"s speak; the door has asked who calls.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warn_if_open(settings)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        app.state.machine = read_system_info(settings.device)
        device = app.state.machine.device
        log.info("Phonogram %s on %s (%s): %s", __version__, device.label, device.name, device.reason)
        app.state.host = EngineHost(lambda: build(settings))
        app.state.host.start()
        app.state.jobs = build_jobs(settings, app.state.host)
        if role != "speaker":  # who share a disk would speak the same job twice
            app.state.jobs.start()
        # The processes of a cluster cannot share a port of their own.
        wyoming = WyomingServer(app, settings) if settings.wyoming_port and role == "alone" else None
        if wyoming is not None:
            await wyoming.start()
        yield
        if wyoming is not None:
            await wyoming.close()
        app.state.jobs.close()
        app.state.host.close()

    app = FastAPI(
        title="Phonogram", version=__version__, lifespan=lifespan, responses=errors.ANY_ROUTE,
    )  # fmt: skip
    app.state.settings = settings
    app.state.measures, app.state.recent = ServerMetrics(), RecentSpeeches()
    if role == "alone":
        install_middleware(app, settings)
    app.add_middleware(RequestLogMiddleware, measures=app.state.measures)
    errors.install(app)
    openapi.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def warn_if_open(settings: Settings) -> None:
    """Tell in the log what of these settings lets strangers in."""
    if settings.host in LOOPBACK:
        return
    keys = ApiKeys(settings.api_key)
    if not keys:
        log.warning("Listening on %s without a key: anyone who reaches it may use it. Set API_KEY.", settings.host)
    elif keys.n_short:
        log.warning("%d keys of API_KEY have under %d characters and can be guessed.", keys.n_short, SHORT_KEY_CHARS)


def __getattr__(name: str) -> Any:
    """Build `app` when the server first asks for it, so that importing this module reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = load_settings()
        configure_logging(settings.log_format)
        app = create_app(settings)
    except BadSettings as error:
        # The server would print a traceback here, which buries the sentence that says what to fix.
        raise SystemExit(str(error)) from error
    globals()["app"] = app
    return app


def configure_logging(log_format: LogFormat = "text") -> None:
    """Let our own modules tell what a user would ask about; for programs only."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[log_format]())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("backend").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # One shape for all lines; the requests are logged by us, with their ids.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn").setLevel(logging.INFO)
