"""What a figure was measured on, and whether the machine was free to be measured."""

from __future__ import annotations

from typing import Any

import psutil

from backend.evaluation.provenance import machine

# Above this share of the cores already at work, figures say more about the others than about us.
BUSY_SHARE = 0.15


def describe_machine() -> dict[str, Any]:
    """CPU, cores, torch, threads, accelerator, and the share of the cores others keep busy just now."""
    import torch

    return {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "busy_share": busy_share(),
    }


def busy_share() -> float:
    """Of all cores over one second, 0...1. The load average would still count what ended a minute ago."""
    return round(psutil.cpu_percent(interval=1.0) / 100, 3)
