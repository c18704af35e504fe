"""Faster float32 on CUDA GPUs: TF32 matmuls and cuDNN convolution autotuning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.base import Support


@dataclass(frozen=True, slots=True)
class BackendFlags:
    """Process-wide flags, set by `apply` and never on import. Not yet run on a GPU."""

    name: str = "backend_flags"
    is_exact: bool = False
    tolerance: float = 1e-2  # TF32 keeps 10 bits of each factor

    def supported(self, device: torch.device, model: nn.Module | None = None) -> Support:
        if device.type != "cuda":
            return Support(False, f"TF32 and cuDNN need a CUDA GPU; this is {device.type}")
        if not current_hardware().cuda_devices[device.index or 0].has_tf32:
            return Support(False, "this GPU has no TF32")
        return Support(True, "TF32 matmuls and convolution autotuning")

    def apply(self, model: nn.Module) -> nn.Module:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        return model
