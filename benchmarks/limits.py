"""Machine limits: matrix products and memory copies."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.timing import timed


def run() -> list[dict[str, Any]]:
    rows = [
        {"name": "gemm fp32", "gflop_per_s": gemm_gflop_per_s(torch.float32)},
        {"name": "gemm bf16", "gflop_per_s": gemm_gflop_per_s(torch.bfloat16)},
        {"name": "copy", "gb_per_s": copy_gb_per_s()},
    ]
    if torch.cuda.is_available():
        rows += [
            {"name": "cuda gemm fp32", "gflop_per_s": gemm_gflop_per_s(torch.float32, 8192, "cuda")},
            {"name": "cuda gemm bf16", "gflop_per_s": gemm_gflop_per_s(torch.bfloat16, 8192, "cuda")},
            {"name": "cuda copy", "gb_per_s": copy_gb_per_s(1 << 30, "cuda")},
        ]
    return rows


def gemm_gflop_per_s(dtype: torch.dtype, size: int = 1024, device: str = "cpu") -> float:
    """Returns the GFLOP/s of a square matrix product, best call."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def call() -> None:
        torch.mm(a, b, out=out)
        _wait(device)

    return round(2 * size**3 / timed(call).best_s / 1e9, 2)


def copy_gb_per_s(size_bytes: int = 1 << 28, device: str = "cpu") -> float:
    """Returns the GB/s read plus written by a copy much larger than the caches, best call."""
    source = torch.ones(size_bytes // 4, device=device)
    target = torch.empty_like(source)

    def call() -> None:
        target.copy_(source)
        _wait(device)

    return round(2 * size_bytes / timed(call).best_s / 1e9, 2)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
