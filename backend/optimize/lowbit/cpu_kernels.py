"""Products with 16, 8 and 4 bit weights on a processor. The only file that touches PyTorch's quantized operators.

PyTorch has marked the eager ones for removal; nothing above this file names one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from backend.hardware import current_hardware

# Without VNNI, fbgemm adds pairs of 8-bit products in 16 bits and saturates; 7-bit activations cannot.
LEVELS_WITH_VNNI, LEVELS_WITHOUT = 127, 63
INT4_GROUP = 32
_INT4_COLUMNS = 64  # the packing wants a multiple of this many outputs

Product = Callable[[Tensor], Tensor]


def int8_reason() -> str | None:
    """Why 8-bit products cannot run here, or None."""
    if not current_hardware().has_fbgemm:
        return "this PyTorch has no fbgemm (x86 processors only)"
    if not hasattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32"):
        return f"PyTorch {torch.__version__} lacks the 8-bit product"
    return None


def int4_reason() -> str | None:
    """Why 4-bit products cannot run here, or None."""
    if not hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu"):
        return f"PyTorch {torch.__version__} lacks the 4-bit product"
    if current_hardware().instructions not in ("AVX2", "AVX512"):
        return "the 4-bit product is only fast with AVX2 or AVX-512"
    return None


def int8_product(weight: Tensor) -> Product:
    """Pack `weight` [out, in], one scale per output; returns a function of rows [B, in] within -1…1.

    The range of the activations is fixed, so a row is rounded alike alone and in any batch, and integer sums do
    not depend on their order: rows are bit-equal in every batch.
    """
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        packed = torch.ops.quantized.linear_prepack(_per_channel(weight.detach().float()), None)
    finally:
        torch.backends.quantized.engine = engine
    levels = LEVELS_WITH_VNNI if current_hardware().has_vnni else LEVELS_WITHOUT
    product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def run(rows: Tensor) -> Tensor:
        return product(rows, 1 / levels, levels + 1, packed)

    return run


def _per_channel(weight: Tensor) -> Tensor:
    scales = weight.abs().amax(1).clamp_min(1e-12) / 127
    levels = (weight / scales[:, None]).round_().to(torch.int8)
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated")
        return torch._make_per_channel_quantized_tensor(levels, scales.double(), zeros, 0)


def int4_product(weight: Tensor) -> Product:
    """Pack `weight` [out, in] in 16 levels per group of 32 inputs; returns a function of rows [B, in] in bfloat16."""
    weight = weight.detach().float()
    n_out, n_in = weight.shape
    assert n_in % INT4_GROUP == 0, f"{n_in} inputs are not whole groups of {INT4_GROUP}"
    padding = -n_out % _INT4_COLUMNS
    groups = torch.nn.functional.pad(weight, (0, 0, 0, padding)).unflatten(1, (-1, INT4_GROUP))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # Rounded first, so that the levels fit the scales the product will use.
    scale = ((high - low) / 15).clamp_min(1e-12).bfloat16().float()
    middle = (low + 8 * scale).bfloat16().float()
    levels = ((groups - middle) / scale).round_().add_(8).clamp_(0, 15)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels.flatten(1).int(), 1)
    scales = torch.cat((scale, middle), dim=-1).transpose(0, 1).contiguous().bfloat16()
    product = torch.ops.aten._weight_int4pack_mm_for_cpu.default

    def run(rows: Tensor) -> Tensor:
        return product(rows, packed, INT4_GROUP, scales)[:, :n_out]

    return run


def has_half_product() -> bool:
    """Whether float32 rows can be multiplied by 16-bit weights here."""
    return current_hardware().has_fbgemm and hasattr(torch.ops.aten, "fbgemm_linear_fp16_weight_fp32_activation")


def half_product(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Pack `weight` [out, in], rounded to float16; returns a function of float32 rows [B, in] and where their sums go.

    Sums are float32, and a row's are the same alone and in every batch.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        product = torch.fbgemm_linear_fp16_weight_fp32_activation
        product(torch.zeros(1, weight.shape[1]), packed, None)  # warns once

    def run(rows: Tensor, out: Tensor) -> Tensor:
        return product(rows, packed, None, out)

    return run


def as_halves(weight: Tensor) -> tuple[Tensor, Tensor | None] | None:
    """Numbers [out, in] that are exact in float16, and scales [out] or none, whose products `weight` is to float
    rounding; None if there are no such numbers."""
    if torch.equal(weight.half().float(), weight):
        return weight, None
    scales = weight.abs().amax(1).clamp_min(1e-30) / 127
    numbers = (weight / scales[:, None]).round_()
    is_whole = torch.allclose(numbers * scales[:, None], weight, rtol=1e-6, atol=0)
    return (numbers, scales) if is_whole else None
