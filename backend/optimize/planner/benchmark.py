"""Benchmarks of this machine: matrix products by shape and number format, and memory bandwidth."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.optimize.lowbit.int4 import Int4Matrix
from backend.optimize.lowbit.int8 import Int8Matrix
from backend.optimize.lowbit.replace_linears import linear_uses
from backend.optimize.precision import DTYPES

ProductFormat = Literal["fp32", "bf16", "fp16", "int8", "int4"]
Shape = tuple[int, int]  # outputs, inputs
# Matrices of one shape measured in turn, so that most reads miss the caches.
COPIES = 6
CPU = torch.device("cpu")


def call_times_s(call: Callable[[], object], budget_s: float, min_calls: int) -> list[float]:
    """Returns wall times of a call repeated for about `budget_s`, after one warm-up call.

    The call must synchronize with its device.
    """
    call()
    times_s: list[float] = []
    while len(times_s) < min_calls or sum(times_s) < budget_s:
        start = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start)
    return times_s


def median_s(call: Callable[[], object], budget_s: float = 0.05, min_calls: int = 5) -> float:
    """Returns the median wall time of a call after warm-up."""
    return median(call_times_s(call, budget_s, min_calls))


def medians_in_turn_s(
    calls: Sequence[Callable[[], object]], budget_s: float = 0.3, min_turns: int = 3
) -> tuple[float, ...]:  # fmt: skip
    """Returns the median wall time of each call after warm-up, interleaved so that other load affects all equally."""
    for call in calls:
        call()
    times_s: list[list[float]] = [[] for _ in calls]
    while len(times_s[0]) < min_turns or sum(map(sum, times_s)) < budget_s * len(calls):
        for call, found in zip(calls, times_s, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return tuple(map(median, times_s))


def shapes(model: nn.Module) -> dict[Shape, int]:
    """Returns the shapes of a model's matrices, and how often a frame reads each."""
    counts: dict[Shape, int] = defaultdict(int)
    for linear, per_frame in linear_uses(model):
        counts[(linear.out_features, linear.in_features)] += per_frame
    return dict(counts)


def make_product(weight: Tensor, format: ProductFormat) -> Callable[[Tensor], Tensor]:
    """Returns a function of float32 rows [B, in]."""
    if format == "int8":
        return Int8Matrix(weight)
    if format == "int4":
        return Int4Matrix(weight)
    if format == "fp32":
        return lambda rows: F.linear(rows, weight)
    dtype = DTYPES[format]
    half = weight.to(dtype)
    return lambda rows: F.linear(rows.to(dtype), half)


def product_s(shape: Shape, format: ProductFormat, device: torch.device = CPU, n_rows: int = 1) -> float:
    """Returns the seconds of one product of `shape` with random weights."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator).to(device)
    products = [make_product(weight.clone(), format) for _ in range(COPIES)]
    rows = torch.randn(n_rows, shape[1], generator=generator).to(device)

    def call() -> None:
        for product in products:
            product(rows)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.inference_mode():
        return median_s(call) / COPIES


def products_s(needed: Sequence[Shape], format: ProductFormat, device: torch.device = CPU) -> dict[Shape, float]:
    return {shape: product_s(shape, format, device) for shape in needed}


def frame_s(counts: Mapping[Shape, int], seconds: Mapping[Shape, float]) -> float:
    """Returns the seconds of all products of one frame."""
    return sum(n * seconds[shape] for shape, n in counts.items())


def spoken_frame_s(lm: DualAR) -> float:
    """Returns the seconds of one whole frame of one row, including sampling."""
    spec, device = lm.spec, lm.device
    state = lm.init_state(1)
    tokens = torch.zeros(spec.n_rows, 2, dtype=torch.long, device=device)
    side = torch.zeros(2, spec.n_side, dtype=torch.long, device=device) if spec.n_side else None
    conditioning = torch.zeros(spec.conditioning_dim, device=device) if spec.conditioning_dim else None
    sampler = SamplerState(SamplingOptions.for_family(spec.family))
    out = lm.prefill(Prompt(tokens, conditioning, side), state, 0)

    def frame() -> None:
        frames = lm.sample(out, [sampler], state, [0])
        lm.step(frames, state, [0], None if side is None else side[:1])
        # The next frame starts from the same past.
        state.slow.lengths[0] -= 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return median_s(frame, budget_s=0.15)


def read_gb_per_s(size_bytes: int = 1 << 28) -> float:
    """Returns the maximum measured memory read bandwidth of this process in GB/s, by the fastest of a few methods."""
    words = torch.ones(size_bytes // 4)
    rows = words.view(-1, 4096)
    vector = torch.ones(4096)
    ways: tuple[Callable[[], object], ...] = (words.sum, words.amax, lambda: torch.mv(rows, vector))
    best_s = min(median_s(way, budget_s=0.2) for way in ways)
    return size_bytes / best_s / 1e9
