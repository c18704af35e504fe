"""Number format of weights and activations outside quantized matmuls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.base import Support

Format = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Format, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_TOLERANCE: dict[Format, float] = {"fp32": 0.0, "bf16": 0.01, "fp16": 0.001}


@dataclass(frozen=True, slots=True)
class Precision:
    """Quality: logits keep a cosine similarity of at least 1 - `tolerance` with float32."""

    format: Format = "fp32"

    @property
    def name(self) -> str:
        return f"precision_{self.format}"

    @property
    def is_exact(self) -> bool:
        return self.format == "fp32"

    @property
    def tolerance(self) -> float:
        return _TOLERANCE[self.format]

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if self.format == "fp32":
            return Support(True, "the format the weights were trained in")
        hardware = current_hardware()
        if device.type == "cuda" and self.format == "bf16" and not hardware.cuda_devices[device.index or 0].has_bf16:
            return Support(False, "this GPU has no bfloat16")
        if device.type == "cpu":
            is_native = hardware.has_bf16_matmul if self.format == "bf16" else hardware.has_fp16_matmul
            if not is_native:
                return Support(False, f"this CPU has no {self.format} instructions; fp32 is faster here")
        return Support(True, "weights are half the bytes")

    def apply(self, model: nn.Module) -> nn.Module:
        """Converts `model` in place. Embedding tables are never widened; their rows are converted when read."""
        dtype = DTYPES[self.format]
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.weight.dtype.itemsize < dtype.itemsize:
                continue
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
        return model
