"""SoundStream on one core: size, memory of a training step, speed of whole files and streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from backend.codec.soundstream import SoundStream
from backend.nn.state import state_bytes

SIZES = {"tiny": (16, 256, 16), "small": (16, 512, 12), "base": (32, 512, 8)}  # C, D, batch of 2 s
SEGMENT_S = 2.0
WHOLE_S = 10.0
REPEATS = 5


def run() -> list[dict[str, Any]]:
    """Returns one row per size, with the best times of a few runs on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_row(name, *size) for name, size in SIZES.items()]
    finally:
        torch.set_num_threads(threads)


def _row(name: str, channels: int, latent_dim: int, batch: int) -> dict[str, Any]:
    torch.manual_seed(0)
    codec = SoundStream(C=channels, D=latent_dim).eval()
    row: dict[str, Any] = {
        "case": f"soundstream-{name}",
        "device": "cpu, 1 thread",
        "precision": "fp32",
        "parameters": sum(parameter.numel() for parameter in codec.parameters()),
        "codebook_numbers": sum(stage.codebook.numel() for stage in codec.quantizer.stages),
        "train_batch": f"{batch} x {SEGMENT_S:g} s",
    }
    # In its own process, since peak memory includes everything that ran before.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        row |= pool.submit(_training_step, channels, latent_dim, batch).result()
    with torch.inference_mode():
        row |= _speed(codec)
    return row


def _training_step(channels: int, latent_dim: int, batch: int) -> dict[str, Any]:
    """Measures a generator step: round trip, mean square and commitment loss, backward, Adam; no discriminators."""
    torch.set_num_threads(1)
    codec = SoundStream(C=channels, D=latent_dim).train()
    # Initializes the codebooks once, with a small input that does not set the peak.
    codec.reconstruct(torch.randn(1, 1, 320 * 8))
    optimizer = torch.optim.Adam(codec.parameters())
    audio = 0.1 * torch.randn(batch, 1, int(SEGMENT_S * codec.spec.sample_rate_hz))
    before_mb = _peak_rss_mb()
    started = time.perf_counter()
    output = codec.reconstruct(audio)
    ((output.audio - audio).square().mean() + 0.25 * output.commitment).backward()
    optimizer.step()
    step_s = time.perf_counter() - started
    return {"train_peak_mb": round(_peak_rss_mb() - before_mb), "train_step_s": round(step_s, 2)}


def _speed(codec: SoundStream) -> dict[str, Any]:
    rate, hop = codec.spec.sample_rate_hz, codec.spec.hop_samples
    audio = 0.1 * torch.randn(1, 1, int(WHOLE_S * rate))
    codes = codec.encode(audio)
    encode_s = _best_s(lambda: codec.encode(audio))
    decode_s = _best_s(lambda: codec.decode(codes))
    row = {
        "audio_s": WHOLE_S,
        "encode_x_real_time": round(WHOLE_S / encode_s, 1),
        "decode_x_real_time": round(WHOLE_S / decode_s, 1),
        "round_trip_x_real_time": round(WHOLE_S / (encode_s + decode_s), 1),
        "state_bytes": state_bytes(codec.init_state(1)),
    }
    for frames in (1, 8):
        state, chunk = codec.init_state(1), audio[:, :, : frames * hop]
        chunk_s = _best_s(lambda: codec.decode(codec.encode(chunk, state), state), 30)  # noqa: B023
        row[f"stream_{frames}_frame_ms"] = round(1000 * chunk_s, 2)
        row[f"stream_{frames}_frame_x_real_time"] = round(frames * hop / rate / chunk_s, 1)
    return row


def _best_s(act: Callable[[], object], repeats: int = REPEATS) -> float:
    act()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return min(times)


def _peak_rss_mb() -> float:
    """Returns the peak memory of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
