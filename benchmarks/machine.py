"""The machine of a measurement, and whether it was idle."""

from __future__ import annotations

from typing import Any

import psutil

from backend.evaluation.provenance import machine

# Above this share of busy cores, measurements are unreliable.
BUSY_SHARE = 0.15


def describe_machine() -> dict[str, Any]:
    """Returns CPU, cores, torch, threads, accelerator, and the current share of busy cores."""
    import torch

    return {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "busy_share": busy_share(),
    }


def busy_share() -> float:
    """Returns the share of busy cores over one second, 0...1. The load average includes work that has ended."""
    return round(psutil.cpu_percent(interval=1.0) / 100, 3)
