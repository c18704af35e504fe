"""Device selection, with the reason for the choice."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.errors import BadSettings

if TYPE_CHECKING:
    import torch

PATTERN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True)
class Device:
    """A device of this machine. `label` is its torch name, such as `cuda:0`."""

    label: str
    name: str
    reason: str

    @property
    def kind(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.label.partition(":")[0]

    def torch_device(self) -> torch.device:
        import torch

        return torch.device(self.label)


def find_device(requested: str = "auto") -> Device:
    """Return the requested device; `auto` prefers cuda, then mps, then cpu.

    Raises `BadSettings` if it is not a device name or this machine does not have it.
    """
    import torch  # takes seconds to import, so callers that do not compute avoid it

    if not PATTERN.fullmatch(requested):
        raise BadSettings(f"DEVICE is '{requested}'; expected auto, cpu, mps, cuda or cuda:N. Correct it, or use auto.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if requested.startswith("cuda") or (requested == "auto" and n_gpus):
        index = int(requested.partition(":")[2] or 0)
        if index >= n_gpus:
            raise BadSettings(
                f"DEVICE is '{requested}'; PyTorch {torch.__version__} sees {n_gpus} CUDA devices here. "
                "Use DEVICE=auto, or install the driver and run `python launch.py setup` again."
            )
        return Device(f"cuda:{index}", torch.cuda.get_device_name(index), _reason(requested, "a CUDA GPU was found"))
    if requested == "mps" or (requested == "auto" and has_mps):
        if not has_mps:
            raise BadSettings("DEVICE is 'mps'; this machine has no Metal device. Use DEVICE=auto.")
        return Device("mps", platform.processor() or "Apple", _reason(requested, "a Metal device was found"))
    return Device("cpu", processor_name(), _reason(requested, "no accelerator was found"))


def _reason(requested: str, finding: str) -> str:
    return finding if requested == "auto" else f"DEVICE={requested}"


def processor_name() -> str:
    """Return the CPU's marketing name if the system provides it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
