"""The language model of openaudio-s1-mini at full size (860 M random weights) on CPU: frames per second."""

from __future__ import annotations

import copy
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt, StepOutput
from backend.optimize.cpu_kernel.compilation import compilation, missing_reason
from backend.optimize.lowbit.replace_linears import linear_uses
from backend.optimize.planner.benchmark import product_s, read_gb_per_s, shapes
from backend.optimize.planner.decision import PlanOptions
from backend.optimize.planner.lm import lm_decisions
from backend.optimize.registry import OPTIMIZATIONS
from backend.optimize.threads import use_threads
from benchmarks.fish_dac import peak_gb as peak_of_ancestors_gb
from benchmarks.s1_mini import CONFIG, write_checkpoint

PROMPT_FRAMES, N_FRAMES, WARM_UP = 130, 24, 3
BYTES = {"fp32": 4.0, "int8": 1.0, "int4": 0.625}  # per weight; int4 has a scale and an offset per 32 weights


def run() -> list[dict[str, Any]]:
    """Runs each number format in its own process, so that memory and temperature do not carry over."""
    context = multiprocessing.get_context("spawn")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        n_weights = write_checkpoint(path)
        for task in ("load", "fp32", "int8", "int4"):
            with context.Pool(1) as pool:
                rows += pool.apply(_load_row if task == "load" else _format_rows, (path, task))
    return [{**row, "n_weights_m": round(n_weights / 1e6, 1)} if row["name"] == "load" else row for row in rows]


def load(path: Path) -> DualAR:
    from safetensors.torch import load_file

    from backend.weights.fish_lm import dual_ar_from_tensors

    return dual_ar_from_tensors(CONFIG, load_file(path))


def _load_row(path: Path, _: str) -> list[dict[str, Any]]:
    before_gb, start = peak_gb(), time.perf_counter()
    lm = load(path)
    load_s = time.perf_counter() - start
    resident_gb = sum(p.numel() * p.element_size() for p in lm.parameters()) / 1e9
    peak = peak_gb() - before_gb
    return [
        {"name": "load", "load_s": round(load_s, 1), "peak_gb": round(peak, 2), "resident_gb": round(resident_gb, 2),
         "peak_ratio": round(peak / resident_gb, 2)}
    ]  # fmt: skip


def peak_gb() -> float:
    """Returns the peak memory of this process. On Linux, the rusage counter includes the parent's peak."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_of_ancestors_gb()
    return (
        next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024 / 1e9
    )


def _format_rows(path: Path, format: str) -> list[dict[str, Any]]:
    with torch.inference_mode():
        lm = load(path)
        options = PlanOptions(
            quantization=format if format != "fp32" else "none", mixed_precision="fp32", cpu_kernel=True
        )
        if format == "int8" and missing_reason() is None:
            compilation().wait()
        decisions, n_threads = lm_decisions(lm, torch.device("cpu"), options)
        use_threads(n_threads)
        gb_per_frame = sum(r.per_frame * r.linear.weight.numel() for r in linear_uses(lm)) * BYTES[format] / 1e9
        rows = []
        if format == "int8":
            rows += [_shape_row(shape) for shape in shapes(lm)]
        others = []
        applied = [d.name for d in decisions if d.is_applied]
        if format != "fp32":
            lm = OPTIMIZATIONS[format]().apply(lm)
            if "cpu_graph" in applied:
                others.append((lm, f"{format}, calls made for every frame"))
                lm = OPTIMIZATIONS["cpu_graph"]().apply(copy.copy(lm))
            if "cpu_kernel" in applied:
                others.append((lm, f"{format}, bound calls"))
                # Kernels keep the matrices in a layout of their own.
                lm = OPTIMIZATIONS["cpu_kernel"]().apply(OPTIMIZATIONS[format]().apply(load(path)))
        cases = [_Case(lm, format), *(_Case(other, name) for other, name in others)]
        if format == "int8":
            cases += [
                _Case(lm, "int8 at MAX_SEQ_LEN 8192", max_frames=8192),
                _Case(lm, "int8 at 1000 frames", context=1000),
                _Case(lm, "int8 at 1000 frames, bfloat16 past", context=1000, kv_dtype=torch.bfloat16),
                _Case(lm, "int8, bfloat16 past", kv_dtype=torch.bfloat16),
                _Case(lm, "int8, batch 8", batch=8),
            ]
        # Interleaved by frame, so that other load affects all cases equally.
        for _ in range(WARM_UP + (6 if format == "fp32" else N_FRAMES)):
            for case in cases:
                case.frame()
        first, *rest = [case.row() for case in cases]
        gb_per_s = read_gb_per_s()
        first |= {
            "plan": ", ".join(applied),
            "threads": n_threads, "threads_measured": decisions[0].measured, "gb_per_frame": round(gb_per_frame, 3),
            "read_gb_per_s": round(gb_per_s, 1), "floor_frames_per_s": round(gb_per_s / gb_per_frame, 1),
            "share_of_floor": round(first["frames_per_s"] * gb_per_frame / gb_per_s, 2),
        }  # fmt: skip
        for row in rest:
            row["share_of_first"] = round(row["frames_per_s"] / row["batch"] / first["frames_per_s"], 3)
        return [*rows, first, *rest]


class _Case:
    """Whole frames, including sampling, after a prompt of `context` positions."""

    def __init__(
        self, lm: DualAR, name: str, *, context: int = PROMPT_FRAMES, max_frames: int = 1024 + 128, batch: int = 1,
        kv_dtype: torch.dtype | None = None,
    ):  # fmt: skip
        self.lm, self.name, self.context, self.max_frames, self.batch = lm, name, context, max_frames, batch
        self.state = lm.init_state(batch, max_frames, kv_dtype)
        generator = torch.Generator().manual_seed(0)
        tokens = torch.zeros(lm.spec.n_rows, context, dtype=torch.long)
        tokens[0] = torch.randint(150_000, (context,), generator=generator)
        start = time.perf_counter()
        outs = [lm.prefill(Prompt(tokens), self.state, row) for row in range(batch)]
        self.prefill_s = time.perf_counter() - start
        self.out = StepOutput(torch.cat([out.logits for out in outs]), torch.cat([out.hidden for out in outs]), {})
        self.samplers = [SamplerState(SamplingOptions(), seed) for seed in range(batch)]
        self.step_s: list[float] = []
        self.sample_s: list[float] = []

    def frame(self) -> None:
        rows = list(range(self.batch))
        start = time.perf_counter()
        frames = self.lm.sample(self.out, self.samplers, self.state, rows)
        middle = time.perf_counter()
        self.out = self.lm.step(frames, self.state, rows)
        self.step_s.append(time.perf_counter() - middle)
        self.sample_s.append(middle - start)

    def row(self) -> dict[str, Any]:
        step_s, sample_s = self.step_s[WARM_UP:], self.sample_s[WARM_UP:]
        slow_s, fast_s = median(step_s), median(sample_s)
        best_s = min(a + b for a, b in zip(step_s, sample_s, strict=True))
        return {
            "name": self.name, "frames_per_s": round(self.batch / (slow_s + fast_s), 2),
            "best_frames_per_s": round(self.batch / best_s, 2), "slow_ms": round(slow_s * 1e3, 2),
            "fast_ms": round(fast_s * 1e3, 2), "batch": self.batch, "context": self.context,
            "max_seq_len": self.max_frames, "prefill_s": round(self.prefill_s / self.batch, 3),
        }  # fmt: skip


def _shape_row(shape: tuple[int, int]) -> dict[str, Any]:
    """Times one product of this shape in each format."""
    ms = {kind: round(product_s(shape, kind) * 1e3, 4) for kind in ("fp32", "bf16", "int8", "int4")}
    fastest = min(ms, key=ms.__getitem__)
    return {"name": f"product {shape[0]} x {shape[1]}", **{f"{k}_ms": v for k, v in ms.items()}, "fastest": fastest}
