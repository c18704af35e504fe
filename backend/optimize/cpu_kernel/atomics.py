"""Atomic counters in memory shared by the threads of a team, for compiled functions."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from backend.hardware import current_hardware
from backend.optimize.cpu_kernel.vectors import I64, operation, pointer

YIELD = "phonogram_yield_thread"  # registered with LLVM before anything is compiled or loaded
yield_thread = types.ExternalFunction(YIELD, types.int32())


def _pause(builder: ir.IRBuilder) -> None:
    if current_hardware().architecture not in ("x86_64", "amd64", "i386", "i686"):
        return
    pause = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), []))
    builder.call(pause, [])


atomic_add = operation(
    types.int64, [types.int64, types.int64],
    lambda b, p, n: b.atomic_rmw("add", pointer(b, p, I64), n, "seq_cst"),
)  # fmt: skip
atomic_load = operation(types.int64, [types.int64], lambda b, p: b.load_atomic(pointer(b, p, I64), "acquire", 8))
pause = operation(types.void, [], _pause)
