"""System information: device, torch and Python versions. Read once at startup, so that no request touches torch."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass

from backend.device import Device, find_device


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """Device and versions of this process. `started_s` is on the monotonic clock."""

    device: Device
    torch_version: str
    torch_threads: int
    python_version: str
    started_s: float


def read_system_info(device: str) -> SystemInfo:
    """Returns the system information; raises `BadSettings` if `device` is not available."""
    started_s = time.monotonic()
    import torch

    return SystemInfo(
        device=find_device(device),
        torch_version=torch.__version__,
        torch_threads=torch.get_num_threads(),
        python_version=platform.python_version(),
        started_s=started_s,
    )
