"""The device to compute on: found once, with the reason for the choice."""

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
    """A device that exists on this machine. `label` is what torch calls it, such as `cuda:0`."""

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


def find_device(wanted: str = "auto") -> Device:
    """Return the device called `wanted`; `auto` prefers cuda, then mps, then cpu.

    Raises `BadSettings` if `wanted` is not a device name or this machine lacks it.
    """
    import torch  # seconds to import: paid by the callers that compute, not by those that only import

    if not PATTERN.fullmatch(wanted):
        raise BadSettings(f"DEVICE is '{wanted}'; expected auto, cpu, mps, cuda or cuda:N. Correct it, or use auto.")
    n_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if wanted.startswith("cuda") or (wanted == "auto" and n_cards):
        index = int(wanted.partition(":")[2] or 0)
        if index >= n_cards:
            raise BadSettings(
                f"DEVICE is '{wanted}'; PyTorch {torch.__version__} sees {n_cards} CUDA devices here. "
                "Use DEVICE=auto, or install the driver and run `python launch.py setup` again."
            )
        return Device(f"cuda:{index}", torch.cuda.get_device_name(index), _reason(wanted, "a CUDA card was found"))
    if wanted == "mps" or (wanted == "auto" and has_mps):
        if not has_mps:
            raise BadSettings("DEVICE is 'mps'; this machine has no Metal device. Use DEVICE=auto.")
        return Device("mps", platform.processor() or "Apple", _reason(wanted, "a Metal device was found"))
    return Device("cpu", processor_name(), _reason(wanted, "no accelerator was found"))


def _reason(wanted: str, found: str) -> str:
    return found if wanted == "auto" else f"DEVICE={wanted}"


def processor_name() -> str:
    """Return the processor's marketing name where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
