"""The fish codec at its published size (391 M parameters, random weights): speed, memory and fidelity on a CPU."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from backend.codec.fish_dac import FishDAC
from backend.codes import Codes
from backend.optimize.codec.packed_dac import PackedDac
from benchmarks.timing import timed

Mode = Literal["plain", "fp32", "bf16"]
N_FRAMES = 44  # 2.04 s
CHUNK_FRAMES = (1, 4, 8, 16)


def run() -> list[dict[str, Any]]:
    """Runs each mode in its own process, so that peak memory is per row."""
    context = multiprocessing.get_context("spawn")
    rows, sounds = [], {}
    for mode in ("plain", "fp32", "bf16"):
        with context.Pool(1) as pool:
            found, sound = pool.apply(_measure, (mode,))
        rows += found
        sounds[mode] = torch.tensor(sound)
    for row in rows:
        if row["name"] in ("decode fp32", "decode bf16"):
            row["snr_db"] = _snr_db(sounds["plain"], sounds[row["name"].split()[1]])
            row["max_error"] = float(f"{(sounds['plain'] - sounds[row['name'].split()[1]]).abs().max():.2g}")
    return rows


def _measure(mode: Mode) -> tuple[list[dict[str, Any]], list[float]]:
    with torch.inference_mode():
        codec = random_fish_dac()
        if mode != "plain":
            codec = PackedDac(mode).apply(codec)
        duration_s = N_FRAMES / codec.spec.frame_rate_hz
        generator = torch.Generator().manual_seed(1)
        columns = [torch.randint(size, (1, N_FRAMES), generator=generator) for size in codec.spec.codebook_sizes]
        codes = Codes(torch.stack(columns, 1), codec.spec.name)
        audio = 0.1 * torch.randn(1, 1, N_FRAMES * codec.spec.hop_samples, generator=generator)

        def row(name: str, call: Callable[[], object]) -> dict[str, Any]:
            timing = timed(call, budget_s=4.0)
            return {
                "name": f"{name} {mode}", "rtf": round(timing.best_s / duration_s, 3),
                "rtf_median": round(timing.median_s / duration_s, 3), "peak_gb": round(peak_gb(), 2),
                "audio_s": round(duration_s, 2),
            }  # fmt: skip

        rows = [row("decode", lambda: codec.decode(codes))]
        if mode != "bf16":  # encoding is the same in bfloat16
            rows.append(row("encode", lambda: codec.encode(audio)))
        if mode != "plain":
            rows += [row(f"decode in chunks of {n}", lambda n=n: in_chunks(codec, codes, n)) for n in CHUNK_FRAMES]
            rows.append(_limit(codec, mode))
        return rows, codec.decode(codes).flatten().tolist()


def random_fish_dac() -> FishDAC:
    """Returns the published architecture with seeded weights that keep every layer at about unit scale."""
    with torch.device("meta"):
        codec = FishDAC()
    codec = codec.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, weight in codec.named_parameters():
        if "gamma" in name:
            weight.data.fill_(0.1)
        elif weight.dim() > 1 and "alpha" not in name:
            weight.data.uniform_(-1, 1, generator=generator).mul_(weight[0].numel() ** -0.5)
        else:
            weight.data.fill_(0.0 if "bias" in name else 1.0)
    return codec.eval().requires_grad_(False)


def in_chunks(codec: FishDAC, codes: Codes, n_frames: int) -> list[Tensor]:
    state = codec.init_state(1)
    return [codec.decode(Codes(piece, codes.codec), state) for piece in codes.indices.split(n_frames, 2)]


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def decoder_gflop_per_frame(codec: FishDAC) -> float:
    """Returns the operations of the convolutional decoder for one frame of codes, in GFLOP."""
    config = codec.config
    n_frames, dim, total = 1, config["decoder_dim"], 0
    for factor in config["downsample_factors"]:
        n_frames *= factor
    total += n_frames * config["latent_dim"] * dim * 7
    for stride in config["decoder_rates"]:
        total += n_frames * dim * (dim // 2) * 2 * stride
        n_frames, dim = n_frames * stride, dim // 2
        total += n_frames * dim * dim * 3 * (7 + 1)
    return 2 * (total + n_frames * dim * 7) / 1e9


def _limit(codec: FishDAC, mode: Mode) -> dict[str, Any]:
    """Computes the decode time at the best rate measured on one of the decoder's layers."""
    conv = codec.decoder.blocks[1].units[0].wide
    x = torch.zeros(1, 512 + conv.context, conv.in_channels, dtype=conv.dtype)
    best_s = timed(lambda: conv.frames(x)).best_s
    gflop_per_s = 2 * 512 * conv.in_channels * conv.out_channels * 7 / best_s / 1e9
    seconds = decoder_gflop_per_frame(codec) * codec.spec.frame_rate_hz / gflop_per_s
    return {"name": f"decode limit {mode}", "rtf": round(seconds, 3), "gflop_per_s": round(gflop_per_s)}


def _snr_db(clean: Tensor, noisy: Tensor) -> float:
    return round(float(10 * torch.log10(clean.square().sum() / (clean - noisy).square().sum())), 1)
