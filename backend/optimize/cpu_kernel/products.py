"""Exact products of 8-bit weights and activations: 16 outputs of a few rows at a time, as LLVM loops.

Weights are [N / 16][K / 4][16][4] signed bytes, activations unsigned bytes around 128. The forms give the same integers:
`vnni` (AVX-512 VNNI) and `avx2` use the processor's instructions, `portable` plain vector operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from llvmlite import ir
from numba import types
from numba.core import cgutils

from backend.optimize.cpu_kernel.vectors import (
    I8,
    I16,
    I32,
    I64,
    lanes,
    llvm_function,
    load,
    of,
    operation,
    pointer,
    splat,
)

Form = Literal["vnni", "avx2", "portable"]
FORMS: tuple[Form, ...] = get_args(Form)
# Steps of four inputs in one turn of the loop; the number of inputs is padded to this.
UNROLLED = 4
ALIGNED_INPUTS = 4 * UNROLLED
PREFETCH_BYTES = 4096


def dot_rows(form: Form, n_rows: int) -> Any:
    """Returns an intrinsic (weights, activations, stride between rows, K / 16, out) that stores the sums of `n_rows`
    rows and 16 outputs as int32 [n_rows, 16] at `out`.
    """

    def codegen(builder: ir.IRBuilder, w: ir.Value, x: ir.Value, stride: ir.Value, n: ir.Value, out: ir.Value) -> None:
        # A single row needs several sums at a time to hide the latency of an instruction.
        n_chains = UNROLLED if n_rows == 1 else 2 if n_rows == 2 else 1
        chains = [[_Sums(builder, form) for _ in range(n_chains)] for _ in range(n_rows)]
        starts = [builder.add(x, builder.mul(stride, I64(row))) for row in range(n_rows)]
        with cgutils.for_range(builder, n) as loop:
            at = builder.mul(loop.index, I64(64 * UNROLLED))
            for step in range(UNROLLED):
                here = builder.add(w, builder.add(at, I64(64 * step)))
                ahead = pointer(builder, builder.add(here, I64(PREFETCH_BYTES)), I8)
                prefetch = builder.module.declare_intrinsic(
                    "llvm.prefetch.p0", (), ir.FunctionType(ir.VoidType(), [ahead.type, I32, I32, I32])
                )
                builder.call(prefetch, [ahead, I32(0), I32(3), I32(1)])
                weights = load(builder, here, of(I8, 64), 64)
                offset = builder.mul(loop.index, I64(4 * UNROLLED))
                for start, sums in zip(starts, chains, strict=True):
                    four = load(builder, builder.add(builder.add(start, offset), I64(4 * step)), I32, 4)
                    sums[step % n_chains].add(weights, four)
        for row, row_sums in enumerate(chains):
            whole = row_sums[0].value()
            for other in row_sums[1:]:
                whole = builder.add(whole, other.value())
            builder.store(whole, pointer(builder, builder.add(out, I64(64 * row)), of(I32)), align=4)

    return operation(types.void, [types.int64] * 5, codegen)


class _Sums:
    """16 running sums in registers; without VNNI as sums of even and of odd pairs."""

    def __init__(self, builder: ir.IRBuilder, form: Form):
        self.builder, self.form = builder, form
        widths = {"vnni": [16], "avx2": [8] * 4, "portable": [32]}[form]
        self.parts = [cgutils.alloca_once_value(builder, ir.Constant(of(I32, n), [0] * n)) for n in widths]

    def add(self, weights: ir.Value, four: ir.Value) -> None:
        builder, parts = self.builder, self.parts
        inputs = builder.bitcast(splat(builder, four), of(I8, 64))
        if self.form == "vnni":
            sums = builder.load(parts[0])
            builder.store(_vnni(builder, sums, inputs, weights), parts[0])
            return
        wide_inputs, wide_weights = builder.zext(inputs, of(I16, 64)), builder.sext(weights, of(I16, 64))
        if self.form == "avx2":
            for k, part in enumerate(parts):
                here = range(16 * k, 16 * k + 16)
                pairs = llvm_function(
                    builder, "llvm.x86.avx2.pmadd.wd", of(I32, 8), lanes(builder, wide_inputs, here),
                    lanes(builder, wide_weights, here),
                )  # fmt: skip
                builder.store(builder.add(builder.load(part), pairs), part)
            return
        # 255 x 127 fits 16 bits; a sum of two does not.
        products = builder.mul(wide_inputs, wide_weights)
        even, odd = (builder.sext(lanes(builder, products, range(k, 64, 2)), of(I32, 32)) for k in (0, 1))
        builder.store(builder.add(builder.load(parts[0]), builder.add(even, odd)), parts[0])

    def value(self) -> ir.Value:
        builder, parts = self.builder, [self.builder.load(part) for part in self.parts]
        if self.form == "vnni":
            return parts[0]
        pairs = parts[0] if len(parts) == 1 else _joined(builder, parts)
        return builder.add(lanes(builder, pairs, range(0, 32, 2)), lanes(builder, pairs, range(1, 32, 2)))


def _joined(builder: ir.IRBuilder, parts: Sequence[ir.Value]) -> ir.Value:
    while len(parts) > 1:
        parts = [_pair(builder, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _pair(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    n = 2 * a.type.count
    return builder.shuffle_vector(a, b, ir.Constant(of(I32, n), list(range(n))))


def _vnni(builder: ir.IRBuilder, sums: ir.Value, inputs: ir.Value, weights: ir.Value) -> ir.Value:
    # Newer LLVM versions take the bytes as such, and still accept them as 32-bit words.
    words = (builder.bitcast(v, of(I32)) for v in (inputs, weights))
    return llvm_function(builder, "llvm.x86.avx512.vpdpbusd.512", of(I32), sums, *words)
