"""`GET /health`: is the server up, and what does it run on."""

import time

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from backend import __version__
from backend.api.system_info import Machine

router = APIRouter(tags=["system"])


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
    machine: Machine = request.app.state.machine
    return Health(
        device=machine.device.label,
        device_name=machine.device.name,
        device_reason=machine.device.reason,
        torch_version=machine.torch_version,
        torch_threads=machine.torch_threads,
        python_version=machine.python_version,
        uptime_s=round(time.monotonic() - machine.started_s, 3),
    )
