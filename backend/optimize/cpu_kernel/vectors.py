"""Vectors of 16 numbers for compiled functions, as LLVM operations on raw addresses.

Every float operation is one rounding in a fixed order (no fast-math), so results are equal on every processor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 16
Codegen = Callable[[Any, ir.IRBuilder, Any, Sequence[ir.Value]], Any]

F32, I8, I16, I32, I64 = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)


def of(element: ir.Type, n: int = LANES) -> ir.VectorType:
    return ir.VectorType(element, n)


class VectorType(types.Type):
    """A numba type held in vector registers."""

    def __init__(self, name: str, llvm: ir.VectorType):
        self.llvm = llvm
        super().__init__(name)


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: VectorType):
        super().__init__(dmm, fe_type, fe_type.llvm)


floats, integers = VectorType("f32x16", of(F32)), VectorType("i32x16", of(I32))


def operation(result: types.Type, arguments: Sequence[types.Type], codegen: Codegen) -> Any:
    """Returns an intrinsic with one signature; `codegen(builder, *arguments)` emits its instructions."""
    signature = result(*arguments)

    def emit(context: Any, builder: ir.IRBuilder, _: Any, values: Sequence[ir.Value]) -> Any:
        found = codegen(builder, *values)
        return context.get_dummy_value() if found is None else found

    def typing(typingctx: Any, *given: Any) -> Any:
        return signature, emit

    # numba reads the parameters from here.
    names = ("typingctx", *(f"a{index}" for index in range(len(arguments))))
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    function: Any = typing
    function.__signature__ = inspect.Signature(parameters)
    return intrinsic(function)


def llvm_function(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Calls an LLVM intrinsic by name."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(builder.module.declare_intrinsic(name, (), kind), arguments)


def pointer(builder: ir.IRBuilder, address: ir.Value, element: ir.Type) -> ir.Value:
    return builder.inttoptr(address, element.as_pointer())


def constant(value: float | int, element: ir.Type, n: int = LANES) -> ir.Constant:
    return ir.Constant(of(element, n), [value] * n)


def load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    return builder.load(pointer(builder, address, kind), align=align)


def splat(builder: ir.IRBuilder, value: ir.Value, n: int = LANES) -> ir.Value:
    first = builder.insert_element(ir.Constant(of(value.type, n), ir.Undefined), value, I32(0))
    return builder.shuffle_vector(first, first, ir.Constant(of(I32, n), [0] * n))


def lanes(builder: ir.IRBuilder, v: ir.Value, indices: Sequence[int]) -> ir.Value:
    return builder.shuffle_vector(v, v, ir.Constant(of(I32, len(indices)), list(indices)))


def tree(builder: ir.IRBuilder, v: ir.Value, join: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    """Reduces 16 lanes in a fixed order: lane i with lane i + 8, then + 4, + 2, + 1."""
    n = LANES
    while n > 1:
        n //= 2
        v = join(lanes(builder, v, range(n)), lanes(builder, v, range(n, 2 * n)))
    return builder.extract_element(v, I32(0))


def larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _store(builder: ir.IRBuilder, address: ir.Value, value: ir.Value, align: int) -> None:
    builder.store(value, pointer(builder, address, value.type), align=align)


def _to_levels(builder: ir.IRBuilder, address: ir.Value, scaled: ir.Value) -> None:
    rounded = llvm_function(builder, "llvm.rint.v16f32", of(F32), scaled)
    levels = builder.add(builder.fptosi(rounded, of(I32)), constant(128, I32))
    _store(builder, address, builder.trunc(levels, of(I8)), 1)


def _power_of_two(builder: ir.IRBuilder, n: ir.Value) -> ir.Value:
    biased = builder.add(builder.fptosi(n, of(I32)), constant(127, I32))
    return builder.bitcast(builder.shl(biased, constant(23, I32)), of(F32))


def _from_half(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    bits = builder.zext(load(builder, address, of(I16), 2), of(I32))
    return builder.bitcast(builder.shl(bits, constant(16, I32)), of(F32))


_f, _i, _a = floats, integers, types.int64
load_floats = operation(_f, [_a], lambda b, p: load(b, p, of(F32), 4))
load_halves = operation(_f, [_a], _from_half)  # bfloat16
store_floats = operation(types.void, [_a, _f], lambda b, p, v: _store(b, p, v, 4))
load_integers = operation(_i, [_a], lambda b, p: load(b, p, of(I32), 4))
store_integers = operation(types.void, [_a, _i], lambda b, p, v: _store(b, p, v, 4))
splat_float = operation(_f, [types.float32], splat)
add = operation(_f, [_f, _f], lambda b, x, y: b.fadd(x, y))
subtract = operation(_f, [_f, _f], lambda b, x, y: b.fsub(x, y))
multiply = operation(_f, [_f, _f], lambda b, x, y: b.fmul(x, y))
divide = operation(_f, [_f, _f], lambda b, x, y: b.fdiv(x, y))
maximum = operation(_f, [_f, _f], larger)
multiply_add = operation(_f, [_f, _f, _f], lambda b, x, y, z: llvm_function(b, "llvm.fma.v16f32", of(F32), x, y, z))
absolute = operation(_f, [_f], lambda b, x: llvm_function(b, "llvm.fabs.v16f32", of(F32), x))
round_even = operation(_f, [_f], lambda b, x: llvm_function(b, "llvm.rint.v16f32", of(F32), x))
power_of_two = operation(_f, [_f], _power_of_two)  # of integers -126...127
total = operation(types.float32, [_f], lambda b, v: tree(b, v, b.fadd))
largest_lane = operation(types.float32, [_f], lambda b, v: tree(b, v, lambda x, y: larger(b, x, y)))
subtract_integers = operation(_i, [_i, _i], lambda b, x, y: b.sub(x, y))
to_floats = operation(_f, [_i], lambda b, x: b.sitofp(x, of(F32)))
store_levels = operation(types.void, [_a, _f], _to_levels)  # 16 unsigned bytes around 128

load_word = operation(types.int64, [_a], lambda b, p: load(b, p, I64, 8))
load_double = operation(types.float64, [_a], lambda b, p: load(b, p, ir.DoubleType(), 8))
load_float = operation(types.float32, [_a], lambda b, p: load(b, p, F32, 4))
store_float = operation(types.void, [_a, types.float32], lambda b, p, v: _store(b, p, v, 4))
square_root = operation(types.float32, [types.float32], lambda b, x: llvm_function(b, "llvm.sqrt.f32", F32, x))


def _dots(builder: ir.IRBuilder, q: ir.Value, keys: ir.Value, stride: ir.Value, n: ir.Value, out: ir.Value) -> None:
    sums = [cgutils.alloca_once_value(builder, constant(0.0, F32)) for _ in range(LANES)]
    with cgutils.for_range(builder, n) as loop:
        at = builder.mul(loop.index, I64(4 * LANES))
        query = load(builder, builder.add(q, at), of(F32), 4)
        for k, place in enumerate(sums):
            key = load(builder, builder.add(keys, builder.add(at, builder.mul(stride, I64(k)))), of(F32), 4)
            so_far = builder.load(place)
            builder.store(llvm_function(builder, "llvm.fma.v16f32", of(F32), key, query, so_far), place)
    parts = [builder.load(place) for place in sums]
    width = LANES
    while len(parts) > 1:
        # Each vector holds runs of `width` lanes, one for each of its keys; halves of a run are added.
        parts = [_folded(builder, a, b, width) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        width //= 2
    _store(builder, out, parts[0], 4)


def _folded(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, width: int) -> ir.Value:
    """Adds the second half of every run of `width` lanes of `a` and `b` to its first half; `a`'s runs come first."""
    half, starts = width // 2, range(0, 2 * LANES, width)
    low, high = ([s + k + i for s in starts for i in range(half)] for k in (0, half))
    first, second = (builder.shuffle_vector(a, b, ir.Constant(of(I32), picked)) for picked in (low, high))
    return builder.fadd(first, second)


# (query, keys, bytes between keys, d / 16, out): stores the products of one query with 16 keys, like 16 times `total`.
store_16_dots = operation(types.void, [_a] * 5, _dots)
