"""The middleware stack."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from backend.api.codec_response import CODE_FILE_HEADERS
from backend.api.middleware.access import AccessMiddleware
from backend.api.middleware.body_limit import BodyLimitMiddleware
from backend.api.middleware.chunking import ChunkingMiddleware
from backend.api.middleware.security_headers import SecurityHeadersMiddleware
from backend.api.middleware.timeouts import TimeoutMiddleware
from backend.api.music.response import HEADERS as MUSIC_HEADERS
from backend.api.speech.headers import DESCRIPTIONS
from backend.settings import Settings


def install_middleware(app: FastAPI, settings: Settings) -> None:
    """Adds access control, limits, timeouts, CORS and security headers to `app`. Call it before adding others."""
    # The middleware added last runs first.
    app.add_middleware(ChunkingMiddleware)
    app.add_middleware(
        BodyLimitMiddleware, max_bytes=settings.max_upload_mb * 2**20, total_bytes=settings.upload_budget_mb * 2**20
    )
    app.add_middleware(TimeoutMiddleware, limit_s=settings.client_timeout_s)
    app.add_middleware(AccessMiddleware, settings=settings)
    app.add_middleware(
        CORSMiddleware, allow_origins=settings.browser_origins, allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["*"], expose_headers=sorted({*DESCRIPTIONS, *CODE_FILE_HEADERS, *MUSIC_HEADERS}),
    )  # fmt: skip
    app.add_middleware(SecurityHeadersMiddleware)
