"""The codecs on band energies, one core: whole files and live streams, in CPU time, so a busy machine does not matter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from backend.codec.base import CausalCodec
from backend.codec.hierarchical import HierarchicalCodec
from backend.codec.soundstream import SoundStream
from benchmarks.spectral import one_thread

WHOLE_S = 10
CHUNK_MS = 80
STREAM_S = 4


def run() -> list[dict[str, Any]]:
    with one_thread(), torch.inference_mode():
        torch.manual_seed(0)
        codecs = {
            "soundstream, bands": SoundStream(C=64, D=48, strides=(1, 1), bands=(400, 320, 16, 56)),
            "hierarchical": HierarchicalCodec(),
        }
        return [row for name, codec in codecs.items() for row in _rows(name, codec.eval())]


def _rows(name: str, codec: CausalCodec) -> list[dict[str, Any]]:
    spec = codec.spec
    audio = 0.1 * torch.randn(1, 1, WHOLE_S * spec.sample_rate_hz)
    codes = codec.encode(audio)
    n_chunk = CHUNK_MS * spec.sample_rate_hz // 1000
    pieces = audio[:, :, : STREAM_S * spec.sample_rate_hz].split(n_chunk, dim=2)
    state = codec.init_state(1)

    def stream() -> None:
        for piece in pieces:
            codec.decode(codec.encode(piece, state), state)

    return [
        _row(f"{name}: encode, whole", WHOLE_S, lambda: codec.encode(audio)),
        _row(f"{name}: decode, whole", WHOLE_S, lambda: codec.decode(codes)),
        _row(f"{name}: round trip, {CHUNK_MS} ms pieces", STREAM_S, stream),
        {
            "name": f"{name}: size",
            "parameters_m": round(sum(p.numel() for p in codec.parameters()) / 1e6, 2),
            "latency_ms": round(1000 * codec.algorithmic_latency_samples / spec.sample_rate_hz, 1),
            "bitrate_kbps": spec.bitrate_kbps(),
        },
    ]


def _row(name: str, audio_s: float, call: Callable[[], object], n_calls: int = 3) -> dict[str, Any]:
    call()
    times_s = []
    for _ in range(n_calls):
        started = time.process_time()
        call()
        times_s.append(time.process_time() - started)
    return {"name": name, "times_realtime": round(audio_s / min(times_s), 1), "cpu_ms": round(1000 * min(times_s), 2)}
