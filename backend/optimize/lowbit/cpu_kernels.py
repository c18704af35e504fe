"""Matrix products with 16-bit, 8-bit and 4-bit weights on CPU; the only file that uses PyTorch's quantized operators.

PyTorch plans to remove the eager ones; no other module refers to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from backend.hardware import current_hardware

# Without VNNI, fbgemm adds pairs of 8-bit products in 16 bits and saturates; 7-bit activations cannot.
LEVELS_WITH_VNNI, LEVELS_WITHOUT = 127, 63
INT4_GROUP = 32
_INT4_COLUMNS = 64  # packing needs a multiple of this many outputs

# Batches of this many rows take the same path through every kernel.
FIXED_ROWS = 4
MAX_PROBED_ROWS = 17

Product = Callable[[Tensor], Tensor]


def int8_reason() -> str | None:
    """Returns why 8-bit matmuls cannot run here, or None."""
    if not current_hardware().has_fbgemm:
        return "this PyTorch build has no fbgemm (x86 CPUs only)"
    if not hasattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32"):
        return f"PyTorch {torch.__version__} lacks the 8-bit matmul"
    return None


def int4_reason() -> str | None:
    """Returns why 4-bit matmuls cannot run here, or None."""
    if not hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu"):
        return f"PyTorch {torch.__version__} lacks the 4-bit matmul"
    if current_hardware().instructions not in ("AVX2", "AVX512"):
        return "the 4-bit matmul is only fast with AVX2 or AVX-512"
    return None


def int8_product(weight: Tensor) -> Int8Product:
    """Packs `weight` [out, in] with one scale per output; returns a function of rows [B, in] within -1…1.

    The range of activations is fixed, so a row rounds the same alone and in any batch, and integer sums do not depend
    on their order: rows are bit-equal in every batch.
    """
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        packed = torch.ops.quantized.linear_prepack(_per_channel(weight.detach().float()), None)
    finally:
        torch.backends.quantized.engine = engine
    return Int8Product(packed)


class Int8Product:
    """The product with a packed weight."""

    def __init__(self, packed: Any):
        levels = LEVELS_WITH_VNNI if current_hardware().has_vnni else LEVELS_WITHOUT
        self.packed, self.scale, self.zero = packed, 1 / levels, levels + 1
        self.product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def __call__(self, rows: Tensor) -> Tensor:
        return self.product(rows, self.scale, self.zero, self.packed)

    def levels_and_scales(self) -> tuple[Tensor, Tensor]:
        """Returns the weight's integers [out, in] (int8) and its scale per output [out] (float64)."""
        weight, _ = torch.ops.quantized.linear_unpack(self.packed)
        return weight.int_repr(), weight.q_per_channel_scales()


def _per_channel(weight: Tensor) -> Tensor:
    scales = weight.abs().amax(1).clamp_min(1e-12) / 127
    levels = (weight / scales[:, None]).round_().to(torch.int8)
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated")
        return torch._make_per_channel_quantized_tensor(levels, scales.double(), zeros, 0)


def int4_product(weight: Tensor) -> Product:
    """Packs `weight` [out, in] with 16 levels per group of 32 inputs; returns a function of rows [B, in] in bfloat16."""
    weight = weight.detach().float()
    n_out, n_in = weight.shape
    assert n_in % INT4_GROUP == 0, f"{n_in} inputs are not whole groups of {INT4_GROUP}"
    padding = -n_out % _INT4_COLUMNS
    groups = torch.nn.functional.pad(weight, (0, 0, 0, padding)).unflatten(1, (-1, INT4_GROUP))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # Rounded first, so that the levels match the scales the kernel uses.
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
    """Returns whether float32 rows can be multiplied by 16-bit weights here."""
    return current_hardware().has_fbgemm and hasattr(torch.ops.aten, "fbgemm_linear_fp16_weight_fp32_activation")


def half_product(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Packs `weight` [out, in] rounded to float16; returns a function of float32 rows [B, in] and their output.

    Sums are float32, and a row's are the same alone and in every batch.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        product = torch.fbgemm_linear_fp16_weight_fp32_activation
        product(torch.zeros(1, weight.shape[1]), packed, None)  # warns once

    def run(rows: Tensor, out: Tensor) -> Tensor:
        return product(rows, packed, None, out)

    return run if _rows_are_independent() else _in_fixed_batches(run, weight.shape)


@cache
def _rows_are_independent() -> bool:
    """Whether the 16-bit product rounds a row alike in batches of every size. Kernels for AVX2 do not."""
    generator = torch.Generator().manual_seed(0)
    weight, rows = torch.randn(24, 40, generator=generator), torch.randn(MAX_PROBED_ROWS, 40, generator=generator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        whole = torch.fbgemm_linear_fp16_weight_fp32_activation(rows, packed, None)
        return all(
            torch.equal(torch.fbgemm_linear_fp16_weight_fp32_activation(rows[:n], packed, None), whole[:n])
            for n in range(1, MAX_PROBED_ROWS)
        )


def _in_fixed_batches(run: Callable[[Tensor, Tensor], Tensor], shape: torch.Size) -> Callable[[Tensor, Tensor], Tensor]:
    """`run` on four rows at a time, the last ones padded, so that a row's sums never depend on its neighbors."""
    n_out, n_in = shape
    padded, sums = torch.zeros(FIXED_ROWS, n_in), torch.zeros(FIXED_ROWS, n_out)

    def run_in_batches(rows: Tensor, out: Tensor) -> Tensor:
        n_rows = rows.shape[0]
        for start in range(0, n_rows, FIXED_ROWS):
            n = min(FIXED_ROWS, n_rows - start)
            if n == FIXED_ROWS:
                run(rows[start : start + n], out[start : start + n])
            else:
                padded[:n] = rows[start:]
                out[start:] = run(padded, sums)[:n]
        return out

    return run_in_batches


def as_halves(weight: Tensor) -> tuple[Tensor, Tensor | None] | None:
    """Factors `weight` into numbers [out, in] that are exact in float16 and scales [out] or None, exact to float
    rounding; None if that is impossible.
    """
    if torch.equal(weight.half().float(), weight):
        return weight, None
    scales = weight.abs().amax(1).clamp_min(1e-30) / 127
    numbers = (weight / scales[:, None]).round_()
    is_whole = torch.allclose(numbers * scales[:, None], weight, rtol=1e-6, atol=0)
    return (numbers, scales) if is_whole else None
