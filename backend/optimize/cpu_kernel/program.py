"""Compiled: the job of a team, in one form of products, and the loop of its waiting threads."""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types

from backend.optimize.cpu_kernel import layout as at
from backend.optimize.cpu_kernel.atomics import atomic_load, pause, yield_thread
from backend.optimize.cpu_kernel.products import Form, dot_rows
from backend.optimize.cpu_kernel.stack import (
    IDLE_SPINS,
    IDLE_YIELDS,
    ONE,
    attend,
    compiled,
    copy,
    normalize,
    quantize,
    quantize_rows,
    rotate,
    swiglu,
    wait_for_all,
)  # fmt: skip
from backend.optimize.cpu_kernel.vectors import (
    add,
    load_double,
    load_float,
    load_floats,
    load_integers,
    load_word,
    multiply,
    splat_float,
    store_float,
    store_floats,
    subtract_integers,
    to_floats,
)  # fmt: skip

# The shares of one form, in the globals of its `run` and `serve`: numba's cache never finds a function whose closure holds
# compiled functions.
work: Any = None


class Program(NamedTuple):
    """Compiled functions of (address of the team, thread, number of threads), and for `serve` the jobs seen."""

    run: Any
    serve: Any


def build(form: Form, digest: str) -> Program:
    """Returns the functions for `form`, not yet compiled; `digest` of all sources is part of their cache's key."""
    dot_1, dot_2, dot_4, dot_8 = (dot_rows(form, n_rows) for n_rows in (1, 2, 4, 8))

    @compiled
    def product(matrix, levels, levels_stride, scratch, n_rows, out, out_stride, first, last, is_added):
        """Multiplies rows by blocks `first`...`last` - 1 of 16 outputs; `is_added`: adds to `out`."""
        n_inputs, bias = load_word(matrix + 8 * at.M_INPUTS), load_word(matrix + 8 * at.M_BIAS)
        weights, n_steps = load_word(matrix + 8 * at.M_WEIGHTS), n_inputs // 16
        scales, corrections = load_word(matrix + 8 * at.M_SCALES), load_word(matrix + 8 * at.M_CORRECTIONS)
        sums = scratch + at.X_SUMS
        for block in range(first, last):
            w, row = weights + block * n_inputs * 16, 0
            scale, correction = load_floats(scales + 64 * block), load_integers(corrections + 64 * block)
            while row < n_rows:
                left, x = n_rows - row, levels + row * levels_stride
                if left >= 8:
                    n = 8
                    dot_8(w, x, levels_stride, n_steps, sums)
                elif left >= 4:
                    n = 4
                    dot_4(w, x, levels_stride, n_steps, sums)
                elif left >= 2:
                    n = 2
                    dot_2(w, x, levels_stride, n_steps, sums)
                else:
                    n = 1
                    dot_1(w, x, levels_stride, n_steps, sums)
                for i in range(n):
                    factor = splat_float(load_float(scratch + at.X_FACTORS + 4 * (row + i)))
                    whole = subtract_integers(load_integers(sums + 64 * i), correction)
                    y = multiply(multiply(to_floats(whole), scale), factor)
                    if bias:
                        y = add(y, load_floats(bias + 64 * block))
                    place = out + (row + i) * out_stride + 64 * block
                    if is_added:
                        y = add(load_floats(place), y)
                    store_floats(place, y)
                row += n

    @compiled
    def layer(job, stack, index, scratch, team, thread, n_threads, n_waits):
        """Runs one layer; returns the number of waits so far, or -1 if a thread has failed."""
        n_rows, this = load_word(job + 8 * at.J_ROWS), load_word(stack + 8 * at.S_LAYERS) + 8 * at.LAYER_WORDS * index
        x, x_stride = load_word(job + 8 * at.J_X), 4 * load_word(stack + 8 * at.S_WIDTH)
        width, levels_stride = load_word(stack + 8 * at.S_WIDTH), load_word(job + 8 * at.J_LEVELS_STRIDE)
        heads, stride = load_word(job + 8 * at.J_QKV), load_word(job + 8 * at.J_QKV_STRIDE)
        qkv, out = this + 8 * at.L_QKV, this + 8 * at.L_OUT
        gate_up, down = this + 8 * at.L_GATE_UP, this + 8 * at.L_DOWN

        levels = quantize_rows(x, x_stride, n_rows, qkv, scratch, levels_stride, width)
        n = load_word(qkv + 8 * at.M_BLOCKS)
        first, last = n * thread // n_threads, n * (thread + 1) // n_threads
        product(qkv, levels, levels_stride, scratch, n_rows, heads, stride, first, last, False)
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1

        n_heads, n_kv = load_word(stack + 8 * at.S_HEADS), load_word(stack + 8 * at.S_KV_HEADS)
        d, n_shared = load_word(stack + 8 * at.S_HEAD_DIM), load_word(stack + 8 * at.S_HEADS) // n_kv
        positions, rotations = load_word(job + 8 * at.J_POSITIONS), load_word(stack + 8 * at.S_ROTATIONS)
        head_norm, floor = load_word(this + 8 * at.L_HEAD_NORM), load_double(this + 8 * at.L_HEAD_FLOOR)
        key_rows, value_rows = load_word(job + 8 * at.J_KEYS), load_word(job + 8 * at.J_VALUES)
        head_stride = load_word(job + 8 * at.J_HEAD_STRIDE)
        offset = load_word(job + 8 * at.J_LAYER_STRIDE) * index
        scale = ONE / np.float32(np.sqrt(np.float64(d)))
        n = n_rows * n_kv
        first, last = n * thread // n_threads, n * (thread + 1) // n_threads
        for unit in range(first, last):
            row, kv = unit % n_rows, unit // n_rows
            position = load_word(positions + 8 * row)
            rotation, here = rotations + 4 * d * position, heads + row * stride
            for j in range(n_shared):
                head = kv * n_shared + j
                norm = head_norm + 4 * d * head if head_norm else head_norm
                rotate(here + 4 * d * head, d, rotation, norm, floor, scale)
            head = n_heads + kv
            norm = head_norm + 4 * d * head if head_norm else head_norm
            rotate(here + 4 * d * head, d, rotation, norm, floor, ONE)
            place = offset + kv * head_stride + 4 * d * position
            new_key, new_value = load_word(key_rows + 8 * row) + place, load_word(value_rows + 8 * row) + place
            key, value = here + 4 * d * head, here + 4 * d * (head + n_kv)
            copy(key, d, new_key)
            copy(value, d, new_value)
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1

        attended, attended_stride = load_word(job + 8 * at.J_ATTENDED), load_word(job + 8 * at.J_ATTENDED_STRIDE)
        scores_stride = load_word(job + 8 * at.J_SCORES_STRIDE)
        scores = levels + at.MAX_ROWS * levels_stride
        for unit in range(first, last):
            row, kv = unit % n_rows, unit // n_rows
            place = offset + kv * head_stride
            attend(
                heads + row * stride + 4 * d * kv * n_shared, n_shared, load_word(key_rows + 8 * row) + place,
                load_word(value_rows + 8 * row) + place, load_word(positions + 8 * row) + 1, d, scores, scores_stride,
                attended + row * attended_stride + 4 * d * kv * n_shared,
            )  # fmt: skip
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1

        levels = quantize_rows(attended, attended_stride, n_rows, out, scratch, levels_stride, width)
        n = load_word(out + 8 * at.M_BLOCKS)
        first, last = n * thread // n_threads, n * (thread + 1) // n_threads
        product(out, levels, levels_stride, scratch, n_rows, x, x_stride, first, last, True)
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1

        gates, gates_stride = load_word(job + 8 * at.J_GATE_UP), load_word(job + 8 * at.J_GATE_UP_STRIDE)
        hidden, hidden_stride = load_word(job + 8 * at.J_HIDDEN), load_word(job + 8 * at.J_HIDDEN_STRIDE)
        levels = quantize_rows(x, x_stride, n_rows, gate_up, scratch, levels_stride, width)
        n = load_word(gate_up + 8 * at.M_BLOCKS) // 2
        first, last = n * thread // n_threads, n * (thread + 1) // n_threads
        product(gate_up, levels, levels_stride, scratch, n_rows, gates, gates_stride, 2 * first, 2 * last, False)
        for row in range(n_rows):
            pairs, own = gates + row * gates_stride + 128 * first, hidden + row * hidden_stride + 64 * first
            swiglu(pairs, last - first, own)
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1

        levels = quantize_rows(hidden, hidden_stride, n_rows, down, scratch, levels_stride, width)
        n = load_word(down + 8 * at.M_BLOCKS)
        first, last = n * thread // n_threads, n * (thread + 1) // n_threads
        product(down, levels, levels_stride, scratch, n_rows, x, x_stride, first, last, True)
        n_waits += 1
        if wait_for_all(team, n_threads, n_waits):
            return -1
        return n_waits

    @compiled
    def share(team, thread, n_threads):
        """Computes the share of one thread of the team's job; returns whether a thread has failed."""
        job = load_word(team + 8 * at.T_JOB)
        stack, n_rows = load_word(job + 8 * at.J_STACK), load_word(job + 8 * at.J_ROWS)
        scratch = load_word(job + 8 * at.J_SCRATCH) + thread * load_word(job + 8 * at.J_SCRATCH_STRIDE)
        x, width = load_word(job + 8 * at.J_X), load_word(stack + 8 * at.S_WIDTH)
        n_waits, is_frame = 0, load_word(job + 8 * at.J_KIND) == at.FRAME
        if is_frame:
            for index in range(load_word(stack + 8 * at.S_N_LAYERS)):
                n_waits = layer(job, stack, index, scratch, team, thread, n_threads, n_waits)
                if n_waits < 0:
                    return True
        head, n_out = load_word(job + 8 * at.J_HEAD), load_word(job + 8 * at.J_N_OUT)
        if n_out:
            levels_stride, levels = load_word(job + 8 * at.J_LEVELS_STRIDE), scratch + at.X_ROW + 4 * width
            x += 4 * width * (n_rows - n_out)
            if is_frame:
                norm, floor = load_word(stack + 8 * at.S_NORM), load_double(stack + 8 * at.S_NORM_FLOOR)
                normed = load_word(job + 8 * at.J_NORMED)
                for row in range(n_out):
                    # One thread's copy is the result.
                    own = normed + 4 * width * row if thread == 0 else scratch + at.X_ROW
                    normalize(x + 4 * width * row, width, norm, floor, own)
                    factor = quantize(own, width, levels + row * levels_stride, -1.0)
                    store_float(scratch + at.X_FACTORS + 4 * row, factor)
            else:
                quantize_rows(x, 4 * width, n_out, head, scratch, levels_stride, width)
            n = load_word(head + 8 * at.M_BLOCKS)
            first, last = n * thread // n_threads, n * (thread + 1) // n_threads
            logits, stride = load_word(job + 8 * at.J_LOGITS), load_word(job + 8 * at.J_LOGITS_STRIDE)
            product(head, levels, levels_stride, scratch, n_out, logits, stride, first, last, False)
        return wait_for_all(team, n_threads, n_waits + 1)

    def run(team, thread, n_threads):
        """Computes one thread's share of the current job; returns whether a thread of the team has failed."""
        if digest == "":
            return True
        return work(team, thread, n_threads)

    def serve(team, thread, n_threads, seen):
        """Computes shares of jobs after the first `seen`, until none has come for a while; returns the jobs seen.

        -1: a thread of the team has failed.
        """
        if digest == "":
            return -1
        n_spins = 0
        while n_spins < IDLE_SPINS + IDLE_YIELDS:
            if atomic_load(team + at.T_SEQUENCE * 8) > seen:
                seen += 1
                if work(team, thread, n_threads):
                    return -1
                n_spins = 0
                continue
            n_spins += 1
            if n_spins > IDLE_SPINS:
                yield_thread()
            else:
                pause()
        return seen

    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    words = types.int64
    signatures = (types.boolean(words, words, words), words(words, words, words, words))
    functions = (_with_globals(function, work=share) for function in (run, serve))
    return Program(*(_function(f, s, options) for f, s in zip(functions, signatures, strict=True)))


def _with_globals(function: Any, **names: Any) -> FunctionType:
    """Returns `function` with additional global names."""
    scope = {**function.__globals__, **names}
    return FunctionType(function.__code__, scope, function.__name__, None, function.__closure__)


def _function(function: Any, signature: Any, options: dict[str, Any]) -> Any:
    """Returns a function that compiles for `signature` when `compile` is called; cached where a folder allows it."""
    try:
        return njit(cache=True, **options)(function), signature
    except RuntimeError:  # no folder to keep a cache in
        return njit(**options)(function), signature
