"""Provenance of a result: machine and package versions."""

from __future__ import annotations

import platform
from typing import Any

from backend import __version__
from backend.hardware import processor_name, usable_cores
from backend.metrics.optional_packages import package_version

PACKAGES = ("torch", "numpy", "soundfile", "soxr", "pystoi", "pesq", "visqol-python", "ai-edge-litert",
            "resemblyzer", "faster-whisper")  # fmt: skip


def machine() -> dict[str, Any]:
    """Returns processor, cores and operating system."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str | None]:
    """Returns the versions of Phonogram and of the codec and metric packages; None for absent ones."""
    return {"phonogram": __version__, **{name: package_version(name) for name in PACKAGES}}
