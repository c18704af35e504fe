"""Everything between the network and the routes."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from backend.api.codec_response import CODE_FILE_HEADERS
from backend.api.middleware.access import Gate
from backend.api.middleware.body_limit import BodyLimit
from backend.api.middleware.chunking import Portions
from backend.api.middleware.security_headers import Shield
from backend.api.middleware.timeouts import Patience
from backend.api.speech.headers import DESCRIPTIONS
from backend.settings import Settings


def add_entrance(app: FastAPI, settings: Settings) -> None:
    """Let `app` ask who calls, limit what is sent, and tell browsers what they may do. Call it before others are added."""
    # The last one added sees a request first.
    app.add_middleware(Portions)
    app.add_middleware(
        BodyLimit, max_bytes=settings.max_upload_mb * 2**20, total_bytes=settings.upload_budget_mb * 2**20
    )
    app.add_middleware(Patience, limit_s=settings.client_timeout_s)
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(
        CORSMiddleware, allow_origins=settings.page_origins, allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["*"], expose_headers=[*DESCRIPTIONS, *CODE_FILE_HEADERS],
    )  # fmt: skip
    app.add_middleware(Shield)
