"""The FastAPI application. `uvicorn backend.app:app` starts it; `create_app` builds one for any settings."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI

from backend import __version__
from backend.api import errors, openapi, unknown_sockets
from backend.api.compat.wyoming.server import WyomingServer
from backend.api.engine_host import EngineHost, SpeechEngine
from backend.api.metrics import ServerMetrics
from backend.api.middleware.api_keys import SHORT_KEY_CHARS, ApiKeys
from backend.api.middleware.install import install_middleware
from backend.api.middleware.request_log import RequestLogMiddleware
from backend.api.music.run import MusicService
from backend.api.request_history import RequestHistory
from backend.api.routes import ROUTERS
from backend.api.speech.live_timings import LiveTimings
from backend.api.system_info import read_system_info
from backend.errors import BadSettings
from backend.monitor.log_format import FORMATTERS, LogFormat
from backend.pipeline.longform.job_service import JobLimits, JobService
from backend.settings import Settings, load_settings

log = logging.getLogger(__name__)

Role = Literal["standalone", "primary", "worker"]
# Compute threads yield the interpreter lock to the event loop this soon. Python's default of 5 ms is paid several
# times per response: /health took 96 ms at p95 beside two threads that encode long audio, 16 ms with this.
SWITCH_INTERVAL_S = 0.001
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def build_engine(settings: Settings) -> SpeechEngine:
    """Returns the engine for these settings, not loaded yet."""
    from backend.opt_engine import OptimizedEngine

    return OptimizedEngine(settings)


def build_jobs(settings: Settings, host: EngineHost) -> JobService:
    """Returns the job service for these settings; it uses the engine of `host` once that is loaded."""
    limits = JobLimits(
        max_chars=settings.max_book_chars, max_jobs=settings.max_jobs, quota_bytes=settings.data_quota_mb * 2**20,
        n_rows=settings.job_rows,
    )  # fmt: skip
    return JobService(settings.folder(settings.data_dir) / "jobs", lambda: host.engine, limits)


def create_app(
    settings: Settings, build: Callable[[Settings], SpeechEngine] = build_engine, role: Role = "standalone"
) -> FastAPI:
    """Returns the application. It finds the device and loads the engine when it starts, not here.

    In a cluster, the one "primary" replica owns the data on disk, the "worker" replicas generate speech, and the
    gateway in front of them runs the access middleware.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warn_if_open(settings)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        app.state.system_info = read_system_info(settings.device)
        device = app.state.system_info.device
        log.info("Phonogram %s on %s (%s): %s", __version__, device.label, device.name, device.reason)
        app.state.host = EngineHost(lambda: build(settings))
        app.state.host.start()
        app.state.jobs = build_jobs(settings, app.state.host)
        if role != "worker":  # workers share the disk and would run the same job twice
            app.state.jobs.start()
        # Replicas on one machine cannot share the port.
        wyoming = WyomingServer(app, settings) if settings.wyoming_port and role == "standalone" else None
        if wyoming is not None:
            await wyoming.start()
        yield
        if wyoming is not None:
            await wyoming.close()
        app.state.jobs.close()
        app.state.music.close()
        app.state.host.close()

    app = FastAPI(
        title="Phonogram", version=__version__, lifespan=lifespan, responses=errors.ANY_ROUTE, docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.settings = settings
    app.state.metrics, app.state.history = ServerMetrics(), RequestHistory()
    app.state.timings = LiveTimings()
    app.state.music = MusicService()
    if role == "standalone":
        install_middleware(app, settings)
    app.add_middleware(RequestLogMiddleware, metrics=app.state.metrics)
    errors.install(app)
    openapi.install(app)
    unknown_sockets.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def warn_if_open(settings: Settings) -> None:
    """Logs a warning for settings that allow unauthenticated access from the network."""
    if settings.host in LOOPBACK:
        return
    keys = ApiKeys(settings.api_key)
    if not keys:
        log.warning("Listening on %s without an API key: anyone on the network can use it. Set API_KEY.", settings.host)
    elif keys.n_short:
        log.warning(
            "%d keys in API_KEY are shorter than %d characters and can be guessed.", keys.n_short, SHORT_KEY_CHARS
        )


def __getattr__(name: str) -> Any:
    """Builds `app` on first access, so that importing this module reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = load_settings()
        configure_logging(settings.log_format)
        app = create_app(settings)
    except BadSettings as error:
        # Uvicorn would print a traceback that hides the message.
        raise SystemExit(str(error)) from error
    globals()["app"] = app
    return app


def configure_logging(log_format: LogFormat = "text") -> None:
    """Configures logging at level INFO; only for entry points."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[log_format]())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("backend").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # RequestLogMiddleware logs the requests with their ids, in the same format.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn").setLevel(logging.INFO)
