"""The language model of openaudio-s1-mini at full size on a CUDA GPU, with and without CUDA graphs."""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import Any

import torch

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt, StepOutput
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.optimize.lowbit.replace_linears import linear_uses
from backend.optimize.planner.benchmark import median_s
from benchmarks.s1_mini import CONFIG

BATCHES = (1, 16, 64)
PROMPT_FRAMES, N_FRAMES, WARM_UP, MAX_FRAMES = 130, 200, 10, 1024
DTYPE = torch.bfloat16
READ_BYTES = 1 << 31


def run() -> list[dict[str, Any]]:
    """Returns one row per batch size and mode, or one that states there is no GPU."""
    if not torch.cuda.is_available():
        return [{"name": "no GPU", "why": "PyTorch finds no CUDA GPU; nothing was measured"}]
    device = torch.device("cuda")
    gb_per_s = gpu_gb_per_s(device)
    with torch.inference_mode():
        lm, rows = random_model(device), []
        for batch in BATCHES:
            try:
                rows += compare(lm, batch, gb_per_s, prompt_frames=PROMPT_FRAMES, n_frames=N_FRAMES)
            except torch.OutOfMemoryError:
                rows.append({"name": f"batch {batch}", "why": "it does not fit into the GPU's memory"})
        return rows


def random_model(device: torch.device) -> DualAR:
    """Creates 860 M random weights directly on the device in the target dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPE)
    try:
        with device:
            return DualAR(CONFIG).eval().requires_grad_(False).narrow_head()
    finally:
        torch.set_default_dtype(before)


def compare(lm: DualAR, batch: int, gb_per_s: float, *, prompt_frames: int, n_frames: int) -> list[dict[str, Any]]:
    """Measures both modes one after the other, so that peak memory is per mode."""
    recorded = CudaGraphDualAR.of(copy.copy(lm))
    gb_per_frame = frame_gb(lm, batch, prompt_frames + n_frames // 2)
    rows: list[dict[str, Any]] = []
    frames: list[torch.Tensor] = []
    for name, model in (("plain", lm), ("recorded", recorded)):
        reset_peak(lm.device)
        decoding = CudaDecodeRun(model, batch, prompt_frames)
        for _ in range(WARM_UP + n_frames):
            decoding.frame()
        frames.append(torch.stack(decoding.frames))
        frame_s = median(decoding.wall_s[WARM_UP:])
        rows.append({
            "name": f"{name}, batch {batch}", "batch": batch, "frames_per_s": round(batch / frame_s, 1),
            "ms_per_frame": round(frame_s * 1e3, 3), "first_frames_s": round(sum(decoding.wall_s[:WARM_UP]), 2),
            "gb_per_frame": round(gb_per_frame, 3), "read_gb_per_s": round(gb_per_s),
            "share_of_floor": round(gb_per_frame / gb_per_s / frame_s, 3), "peak_gb": peak_gb(lm.device),
        })  # fmt: skip
    rows[1]["times_as_fast"] = round(rows[0]["ms_per_frame"] / rows[1]["ms_per_frame"], 2)
    # Rounding may sample another code, and all later frames then differ.
    rows[1]["frames_alike_before_the_first_other"] = n_equal(*frames)
    rows[1]["disabled_reason"] = recorded.disabled_reason
    return rows


def frame_gb(lm: DualAR, batch: int, n_past: int) -> float:
    """Returns the GB that a frame of `batch` rows must read: every weight per use, and the past."""
    slow, size = lm.config.slow, lm.dtype.itemsize
    weights = sum(use.per_frame * use.linear.weight.numel() for use in linear_uses(lm))
    past = 2 * slow.n_layers * slow.n_kv_heads * slow.head_dim * n_past * batch
    return (weights + past) * size / 1e9


def n_equal(expected: torch.Tensor, actual: torch.Tensor) -> int:
    """Returns the number of frames before the first of [n, B, R] that differs."""
    other = (expected != actual).flatten(1).any(dim=1).nonzero()
    return int(other[0]) if len(other) else len(expected)


class CudaDecodeRun:
    """Rows decoded in one batch, each after its own prompt."""

    def __init__(self, lm: DualAR, batch: int, prompt_frames: int):
        self.lm, self.rows = lm, list(range(batch))
        self.state = lm.init_state(batch, MAX_FRAMES)
        generator = torch.Generator().manual_seed(0)
        tokens = torch.zeros(batch, lm.spec.n_rows, prompt_frames, dtype=torch.long)
        tokens[:, 0] = torch.randint(lm.spec.semantic_begin_id, (batch, prompt_frames), generator=generator)
        outs = [lm.prefill(Prompt(prompt), self.state, row) for row, prompt in enumerate(tokens.to(lm.device))]
        self.out = StepOutput(torch.cat([out.logits for out in outs]), torch.cat([out.hidden for out in outs]), {})
        self.samplers = [SamplerState(SamplingOptions.for_family(lm.spec.family), seed) for seed in self.rows]
        self.wall_s: list[float] = []
        self.frames: list[torch.Tensor] = []

    def frame(self) -> None:
        start_s = time.perf_counter()
        frames = self.lm.sample(self.out, self.samplers, self.state, self.rows)
        # As in the server: every frame is copied to the host.
        self.frames.append(frames.cpu())
        self.out = self.lm.step(frames, self.state, self.rows)
        self.wall_s.append(time.perf_counter() - start_s)


def gpu_gb_per_s(device: torch.device, size_bytes: int = READ_BYTES) -> float:
    """Returns the maximum measured memory bandwidth of the GPU in GB/s, by the faster of two methods."""
    words = torch.ones(size_bytes // 4, device=device)
    other = torch.empty_like(words)

    def read() -> None:
        words.amax()
        torch.cuda.synchronize(device)

    def copy_over() -> None:
        other.copy_(words)
        torch.cuda.synchronize(device)

    return max(size_bytes / median_s(read, 0.2), 2 * size_bytes / median_s(copy_over, 0.2)) / 1e9


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float | None:
    """Returns the maximum GPU memory reserved by PyTorch since the last reset, including CUDA graphs."""
    return round(torch.cuda.max_memory_reserved(device) / 1e9, 2) if device.type == "cuda" else None
