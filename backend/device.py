"""Device selection, with the reason for the choice."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.errors import BadSettings
from backend.hardware import current_hardware

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
    if not PATTERN.fullmatch(requested):
        raise BadSettings(f"DEVICE is '{requested}'; expected auto, cpu, mps, cuda or cuda:N. Correct it, or use auto.")
    hardware = current_hardware()
    n_gpus = len(hardware.cuda_devices)
    if requested.startswith("cuda") or (requested == "auto" and n_gpus):
        index = int(requested.partition(":")[2] or 0)
        if index >= n_gpus:
            raise BadSettings(
                f"DEVICE is '{requested}'; PyTorch sees {n_gpus} CUDA devices here. "
                "Use DEVICE=auto, or install the driver and run `python launch.py setup` again."
            )
        return Device(f"cuda:{index}", hardware.cuda_devices[index].name, _reason(requested, "a CUDA GPU was found"))
    if requested == "mps" or (requested == "auto" and hardware.has_mps):
        if not hardware.has_mps:
            raise BadSettings("DEVICE is 'mps'; this machine has no Metal device. Use DEVICE=auto.")
        return Device("mps", platform.processor() or "Apple", _reason(requested, "a Metal device was found"))
    return Device("cpu", hardware.processor, _reason(requested, "no accelerator was found"))


def _reason(requested: str, finding: str) -> str:
    return finding if requested == "auto" else f"DEVICE={requested}"
