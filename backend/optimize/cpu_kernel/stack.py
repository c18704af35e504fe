"""Compiled: all layers of a transformer stack for a few rows, shared between the threads of a team.

Row i is a position of its own: its keys and values are written where `J_KEYS` and `J_VALUES` say, and it attends to all
positions before it there. Rows of one batch have memory of their own; rows of a prompt share theirs.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from backend.optimize.cpu_kernel import layout as at
from backend.optimize.cpu_kernel.atomics import atomic_add, atomic_load, pause, yield_thread
from backend.optimize.cpu_kernel.vectors import (
    absolute,
    add,
    divide,
    largest_lane,
    load_double,
    load_float,
    load_floats,
    load_word,
    maximum,
    multiply,
    multiply_add,
    power_of_two,
    round_even,
    splat_float,
    square_root,
    store_16_dots,
    store_float,
    store_floats,
    store_levels,
    subtract,
    total,
)  # fmt: skip

# Parts are called by compiled code only; wrappers for Python would take a third of the time to compile.
compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)

MOST_LEVELS = np.float32(127)
TINY = np.float32(1e-30)  # keeps a row of zeros at zero
ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)
# exp(x) = 2^n exp(r) with |r| <= log(2) / 2; log(2) in two parts, the first exact in products with n.
LOG2_E, LOG_2_HIGH, LOG_2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
LEAST_EXPONENT, MOST_EXPONENT = np.float32(-87.0), np.float32(87.0)
C2, C3, C4, C5, C6, C7 = (np.float32(c) for c in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040))

SPINS_BEFORE_YIELD = 4000
# About a quarter of a millisecond: longer than sampling takes between two passes of a frame.
IDLE_SPINS, IDLE_YIELDS = 6000, 200


@compiled
def exponential(x):
    """exp of 16 floats, each limited to -87...87, to 2e-7 of its value."""
    kept = maximum(subtract(splat_float(ZERO), maximum(subtract(splat_float(ZERO), x), splat_float(-MOST_EXPONENT))),
                   splat_float(LEAST_EXPONENT))  # fmt: skip
    n = round_even(multiply(kept, splat_float(LOG2_E)))
    r = multiply_add(n, splat_float(-LOG_2_HIGH), kept)
    r = multiply_add(n, splat_float(-LOG_2_LOW), r)
    y = multiply_add(splat_float(C7), r, splat_float(C6))
    y = multiply_add(y, r, splat_float(C5))
    y = multiply_add(y, r, splat_float(C4))
    y = multiply_add(y, r, splat_float(C3))
    y = multiply_add(y, r, splat_float(C2))
    y = multiply_add(y, r, splat_float(ONE))
    y = multiply_add(y, r, splat_float(ONE))
    return multiply(y, power_of_two(n))


@compiled
def squares(x, n):
    sums = splat_float(ZERO)
    for i in range(0, n, 16):
        v = load_floats(x + 4 * i)
        sums = multiply_add(v, v, sums)
    return total(sums)


@compiled
def quantize(x, n, levels, floor):
    """Rounds a row [n] to `levels` around 128 by its largest value; returns the factor of its products."""
    most, sums = splat_float(ZERO), splat_float(ZERO)
    for i in range(0, n, 16):
        v = load_floats(x + 4 * i)
        most = maximum(absolute(v), most)
        sums = multiply_add(v, v, sums)
    largest = max(largest_lane(most), TINY)
    inverse = splat_float(MOST_LEVELS / largest)
    for i in range(0, n, 16):
        store_levels(levels + i, multiply(load_floats(x + 4 * i), inverse))
    if floor >= 0:
        return largest / square_root(total(sums) + np.float32(floor))
    return largest


@compiled
def quantize_rows(x, stride, n_rows, matrix, scratch, levels_stride, row_floats):
    """Quantizes rows for `matrix`; returns the address of their levels."""
    n, floor = load_word(matrix + 8 * at.M_INPUTS), load_double(matrix + 8 * at.M_FLOOR)
    levels = scratch + at.X_ROW + 4 * row_floats
    for row in range(n_rows):
        factor = quantize(x + row * stride, n, levels + row * levels_stride, floor)
        store_float(scratch + at.X_FACTORS + 4 * row, factor)
    return levels


@compiled
def wait_for_all(team, n_threads, n_waits):
    """Waits until every thread has been here `n_waits` times in this job; returns whether a thread has failed."""
    arrived = atomic_add(team + at.T_ARRIVED * 8, 1) + 1
    target = load_word(team + at.T_BASE * 8) + n_waits * n_threads
    n_spins = 0
    while arrived < target:
        n_spins += 1
        if n_spins > SPINS_BEFORE_YIELD:
            if atomic_load(team + at.T_FAILED * 8):
                return True
            yield_thread()
        else:
            pause()
        arrived = atomic_load(team + at.T_ARRIVED * 8)
    return False


@compiled
def dot(a, b, n):
    sums, whole = splat_float(ZERO), n - n % 16
    for i in range(0, whole, 16):
        sums = multiply_add(load_floats(a + 4 * i), load_floats(b + 4 * i), sums)
    result = total(sums)
    for i in range(whole, n):
        result += load_float(a + 4 * i) * load_float(b + 4 * i)
    return result


@compiled
def softmax(scores, n):
    """Exponentials of scores [n] minus their largest, in place; returns their sum. Padded to 16 with zeros."""
    padded = (n + 15) // 16 * 16
    for i in range(n, padded):
        store_float(scores + 4 * i, LOWEST)
    most = splat_float(LOWEST)
    for i in range(0, padded, 16):
        most = maximum(load_floats(scores + 4 * i), most)
    shift, sums = splat_float(largest_lane(most)), splat_float(ZERO)
    for i in range(0, padded, 16):
        v = exponential(subtract(load_floats(scores + 4 * i), shift))
        store_floats(scores + 4 * i, v)
        sums = add(sums, v)
    return total(sums)


@compiled
def mix_values(weights, values, n, d, scale, out):
    """Stores the sum of `values` [n, d] by `weights` [n], times `scale`."""
    factor, i = splat_float(scale), 0
    while i + 64 <= d:
        a = b = c = e = splat_float(ZERO)
        for p in range(n):
            w, v = splat_float(load_float(weights + 4 * p)), values + 4 * (p * d + i)
            a = multiply_add(w, load_floats(v), a)
            b = multiply_add(w, load_floats(v + 64), b)
            c = multiply_add(w, load_floats(v + 128), c)
            e = multiply_add(w, load_floats(v + 192), e)
        store_floats(out + 4 * i, multiply(a, factor))
        store_floats(out + 4 * i + 64, multiply(b, factor))
        store_floats(out + 4 * i + 128, multiply(c, factor))
        store_floats(out + 4 * i + 192, multiply(e, factor))
        i += 64
    while i + 16 <= d:
        a = splat_float(ZERO)
        for p in range(n):
            w = splat_float(load_float(weights + 4 * p))
            a = multiply_add(w, load_floats(values + 4 * (p * d + i)), a)
        store_floats(out + 4 * i, multiply(a, factor))
        i += 16
    while i < d:
        y = ZERO
        for p in range(n):
            y += load_float(weights + 4 * p) * load_float(values + 4 * (p * d + i))
        store_float(out + 4 * i, y * scale)
        i += 1


@compiled
def attend(q, n_queries, keys, values, n, d, scores, scores_stride, out):
    """Attends queries [n_queries, d] that share a key head to its `keys` and `values` [n, d]."""
    # Sixteen keys at a time share the additions across lanes.
    whole = n - n % 16 if d % 16 == 0 else 0
    for p in range(0, whole, 16):
        for j in range(n_queries):
            store_16_dots(q + 4 * j * d, keys + 4 * p * d, 4 * d, d // 16, scores + j * scores_stride + 4 * p)
    for p in range(whole, n):
        for j in range(n_queries):
            store_float(scores + j * scores_stride + 4 * p, dot(q + 4 * j * d, keys + 4 * p * d, d))
    for j in range(n_queries):
        weights = scores + j * scores_stride
        mass = softmax(weights, n)
        mix_values(weights, values, n, d, ONE / mass, out + 4 * j * d)


@compiled
def rotate(head, d, rotation, norm, floor, scale):
    """Normalizes a head [d] (norm 0: not) and rotates its pairs by `rotation` [d / 2, 2], times `scale`, in place."""
    length = ONE
    if norm:
        length = square_root(dot(head, head, d) + np.float32(floor))
    for i in range(0, d, 2):
        even, odd = load_float(head + 4 * i), load_float(head + 4 * i + 4)
        if norm:
            even = even / length * load_float(norm + 4 * i)
            odd = odd / length * load_float(norm + 4 * i + 4)
        cos, sin = load_float(rotation + 4 * i) * scale, load_float(rotation + 4 * i + 4) * scale
        store_float(head + 4 * i, even * cos - odd * sin)
        store_float(head + 4 * i + 4, odd * cos + even * sin)


@compiled
def copy(values, n, out):
    for i in range(n):
        store_float(out + 4 * i, load_float(values + 4 * i))


@compiled
def normalize(x, n, norm, floor, out):
    length = splat_float(square_root(squares(x, n) + np.float32(floor)))
    for i in range(0, n, 16):
        store_floats(out + 4 * i, multiply(divide(load_floats(x + 4 * i), length), load_floats(norm + 4 * i)))


@compiled
def swiglu(product, n_pairs, out):
    """Stores silu(gate) * up for pairs of 16 gates and 16 ups."""
    for i in range(n_pairs):
        g, up = load_floats(product + 128 * i), load_floats(product + 128 * i + 64)
        e = exponential(subtract(splat_float(ZERO), g))
        store_floats(out + 64 * i, multiply(divide(g, add(splat_float(ONE), e)), up))
