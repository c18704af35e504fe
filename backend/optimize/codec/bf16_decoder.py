"""Decodes `spectral` codes with bfloat16 matmuls.

A streaming decoder reads all its weights for every 40 ms of audio, and bfloat16 halves the bytes read. Encoding stays
in float32, so codes do not depend on this optimization.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from backend.codec.spectral import SpectralCodec
from backend.hardware import current_hardware
from backend.nn.packed_linear import PackedLinear, has_packed_product
from backend.optimize.base import Support


@dataclass(frozen=True, slots=True)
class Bf16Decoder:
    name: str = "bf16_decoder"
    is_exact: bool = False
    tolerance: float = 0.03  # largest sample difference, relative to the largest sample

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, SpectralCodec):
            return Support(False, f"supports 'spectral' only, not {type(model).__name__}")
        if device.type != "cpu" or not has_packed_product():
            return Support(False, "needs a CPU and a PyTorch built with oneDNN")
        if not current_hardware().has_bf16_matmul:
            return Support(False, "this CPU has no bfloat16 instructions; fp32 is faster here")
        return Support(True, "bfloat16 weights halve the bytes read")

    def apply(self, model: SpectralCodec) -> SpectralCodec:
        """Switches the decoder of `model` to bfloat16 in place."""
        for layer in model.decoder.modules():
            if isinstance(layer, PackedLinear):
                layer.product_dtype = torch.bfloat16
                layer.forget_derived()
        return model
