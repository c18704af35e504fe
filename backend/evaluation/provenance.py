"""What a result was made with: machine and versions."""

from __future__ import annotations

import platform
from typing import Any

from backend import __version__
from backend.hardware import processor_name, usable_cores
from backend.metrics.optional_packages import package_version

PACKAGES = ("torch", "numpy", "soundfile", "soxr", "pystoi", "pesq", "visqol-python", "ai-edge-litert",
            "resemblyzer", "faster-whisper")  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, cores and system."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str | None]:
    """Ours, and those of the packages that code or judge; None for absent ones."""
    return {"phonogram": __version__, **{name: package_version(name) for name in PACKAGES}}
