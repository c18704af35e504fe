"""Packing codes and writing code files, relative to the memory bandwidth."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from backend.compression.codes.bit_packing import pack_bits, unpack_bits
from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import ContainerHeader
from benchmarks.limits import copy_gb_per_s
from benchmarks.timing import timed

N_CODEBOOKS, CODEBOOK_SIZE, N_FRAMES, FRAME_RATE_HZ = 8, 1024, 90_000, 25  # an hour at 2 kbps


def run() -> list[dict[str, Any]]:
    indices = np.random.default_rng(0).integers(0, CODEBOOK_SIZE, (N_CODEBOOKS, N_FRAMES))
    # The container's block length, to time packing as it is used.
    block, widths = indices[:, :512].T.copy(), [10] * N_CODEBOOKS
    packed, written = pack_bits(block, widths), _write(indices)
    copy_mb_per_s = copy_gb_per_s() * 1000

    def row(name: str, size_bytes: int, n_frames: int, call: Callable[[], object]) -> dict[str, Any]:
        best_s = timed(call).best_s
        return {
            "name": name,
            "packed_mb_per_s": round(size_bytes / best_s / 1e6, 2),
            "codes_per_s": round(n_frames * N_CODEBOOKS / best_s),
            "times_realtime": round(n_frames / FRAME_RATE_HZ / best_s),
            "copy_mb_per_s": round(copy_mb_per_s),
        }

    return [
        row("pack", len(packed), len(block), lambda: pack_bits(block, widths)),
        row("unpack", len(packed), len(block), lambda: unpack_bits(packed, widths, len(block))),
        row("write container", len(written), N_FRAMES, lambda: _write(indices)),
        row("read container", len(written), N_FRAMES, lambda: list(ContainerReader(io.BytesIO(written)))),
    ]


def _write(indices: np.ndarray) -> bytes:
    file = io.BytesIO()
    writer = ContainerWriter(file, ContainerHeader("bench", "0" * 32, 24000, 960, 1, (CODEBOOK_SIZE,) * N_CODEBOOKS))
    for start in range(0, indices.shape[1], 100):
        writer.push(indices[:, start : start + 100])
    writer.finish(indices.shape[1] * 960)
    return file.getvalue()
