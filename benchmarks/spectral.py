"""The spectral codec on one core: whole files, streams, and the limit set by matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from backend.codec.spectral import SpectralCodec
from backend.nn.packed_linear import PackedLinear
from backend.optimize.codec.bf16_decoder import Bf16Decoder
from benchmarks.limits import gemm_gflop_per_s
from benchmarks.timing import timed

WHOLE_S = 30
CHUNKS_MS = (40, 80, 160, 320)


def run() -> list[dict[str, Any]]:
    with one_thread(), torch.inference_mode():
        torch.manual_seed(0)
        codec = SpectralCodec().eval()
        rate_hz = codec.spec.sample_rate_hz
        audio = 0.1 * torch.randn(1, 1, WHOLE_S * rate_hz)
        codes = codec.encode(audio)
        gflop = matrix_gflop(codec)
        rows = [
            _row("encode, whole", WHOLE_S, lambda: codec.encode(audio)),
            _row("decode, whole", WHOLE_S, lambda: codec.decode(codes)),
            _row("round trip, whole", WHOLE_S, lambda: codec.decode(codec.encode(audio))),
        ]
        rows += [row for chunk_ms in CHUNKS_MS for row in _stream_rows(codec, audio, chunk_ms)]
        half = Bf16Decoder()
        if half.supported(torch.device("cpu"), codec).ok:
            exact = codec.decode(codes)
            half.apply(codec)
            found = _row("decode, whole, bf16_decoder", WHOLE_S, lambda: codec.decode(codes))
            found["snr_db"] = round(
                float(10 * torch.log10(exact.square().sum() / (codec.decode(codes) - exact).square().sum())), 1
            )
            rows += [
                found,
                *(row for chunk_ms in CHUNKS_MS for row in _stream_rows(codec, audio, chunk_ms, ", bf16_decoder")[1:]),
            ]
        rate = gemm_gflop_per_s(torch.float32)
    limit = {"name": "limit: matrix products alone", "times_realtime": round(rate / gflop, 1), "gflop_per_s": rate}
    size = {
        "name": "size",
        "parameters_m": round(sum(p.numel() for p in codec.parameters()) / 1e6, 2),
        "matrix_gflop_per_audio_s": round(gflop, 3),
        "latency_ms": round(1000 * codec.algorithmic_latency_samples / rate_hz, 1),
        "bitrate_kbps": codec.spec.bitrate_kbps(),
    }
    return [*rows, limit, size]


def matrix_gflop(codec: SpectralCodec) -> float:
    """Returns the GFLOP of all matrix products for one second of audio, encoding and decoding."""
    spec = codec.spec
    fast_hz = spec.frame_rate_hz * codec.encoder.stride
    total = sum(2 * size * codec.encoder.project_out.out_features * spec.frame_rate_hz for size in spec.codebook_sizes)
    for name, layer in codec.named_modules():
        if isinstance(layer, PackedLinear):
            is_slow = any(
                part in name for part in ("slow", "merge", "split", "encoder.project_out", "decoder.project_in")
            )
            total += 2 * layer.weight.numel() * (spec.frame_rate_hz if is_slow else fast_hz)
    return total / 1e9


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _stream_rows(codec: SpectralCodec, audio: Tensor, chunk_ms: int, mode: str = "") -> list[dict[str, Any]]:
    """Times encoding, decoding and both alternating: the latter costs more than their sum if the caches hold only one."""
    chunk = audio[:, :, : codec.spec.sample_rate_hz * chunk_ms // 1000]
    state = codec.init_state(1)
    codes = codec.encode(chunk, state)
    return [
        _row(f"encode, {chunk_ms} ms pieces{mode}", chunk_ms / 1000, lambda: codec.encode(chunk, state)),
        _row(f"decode, {chunk_ms} ms pieces{mode}", chunk_ms / 1000, lambda: codec.decode(codes, state)),
        _row(
            f"round trip, {chunk_ms} ms pieces{mode}",
            chunk_ms / 1000,
            lambda: codec.decode(codec.encode(chunk, state), state),
        ),
    ]


def _row(name: str, audio_s: float, call: Callable[[], object]) -> dict[str, Any]:
    timing = timed(call)
    return {
        "name": name,
        "times_realtime": round(audio_s / timing.best_s, 1),
        "times_realtime_median": round(audio_s / timing.median_s, 1),
        "ms": round(1000 * timing.best_s, 3),
    }
