"""`GET /emotions`: the emotion markers of the loaded checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from backend.api.dependencies import Host
from backend.api.errors import documented

router = APIRouter(tags=["speech"])


@router.get("/emotions", responses=documented(503))
async def emotions(host: Host) -> dict[str, Any]:
    """Return the emotion markers of the loaded checkpoint, in groups."""
    guide = await host.run(host.engine.emotions)
    # `era` is the old name of `family`.
    return {**asdict(guide), "era": guide.family}
