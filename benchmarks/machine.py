"""What a figure was measured on, and whether the machine was free to be measured."""

from __future__ import annotations

import os
from typing import Any

from backend.evaluate.provenance import machine

# Above this share of the cores already at work, figures say more about the others than about us.
BUSY_SHARE = 0.5


def describe_machine() -> dict[str, Any]:
    """CPU, cores, torch, threads, accelerator and load, as they are now. `load_1min` is None where unknown."""
    import torch

    return {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_1min": load_1min(),
    }


def load_1min() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def is_busy(load: float | None, cores: int) -> bool:
    return load is not None and load > BUSY_SHARE * cores
