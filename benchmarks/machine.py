"""What a figure was measured on, and whether the machine was free to be measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

# Above this share of the cores already at work, figures say more about the others than about us.
BUSY_SHARE = 0.5


def describe_machine() -> dict[str, Any]:
    """CPU, cores, torch, threads, accelerator and load, as they are now. `load_1min` is None where unknown."""
    import torch

    return {
        "cpu": cpu_model(),
        "cores": n_cores(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_1min": load_1min(),
    }


def cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_1min() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def is_busy(load: float | None, cores: int) -> bool:
    return load is not None and load > BUSY_SHARE * cores
