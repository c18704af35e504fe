"""`GET /emotions`: the marks that change how a text is spoken."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from backend.api.engine_host import host_of
from backend.api.errors import documented

router = APIRouter(tags=["speech"])


@router.get("/emotions", responses=documented(503))
async def emotions(request: Request) -> dict[str, Any]:
    """The emotion markers that the loaded checkpoint knows, in groups."""
    host = host_of(request)
    guide = await host.run(host.engine.emotions)
    # `era` is the older name of `family`.
    return {**asdict(guide), "era": guide.family}
