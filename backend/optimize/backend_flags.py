"""The card's faster float32: TF32 products, and convolution algorithms found by trying."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.base import Support


@dataclass(frozen=True, slots=True)
class BackendFlags:
    """Switches of the process, set on `apply` and never on import. Not yet run on a card."""

    name: str = "backend_flags"
    is_exact: bool = False
    tolerance: float = 1e-2  # TF32 keeps 10 bits of each factor

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cuda":
            return Support(False, f"TF32 and cuDNN belong to CUDA cards; this is {device.type}")
        if not current_hardware().cuda_devices[device.index or 0].has_tf32:
            return Support(False, "this GPU has no TF32")
        return Support(True, "TF32 products and tried convolutions")

    def apply(self, model: nn.Module) -> nn.Module:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        return model
