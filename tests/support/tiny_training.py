"""A minimal training run: a tiny codec, a few synthetic clips, logging at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric

from backend.codec.spectral import SpectralCodec
from backend.data.audio_cache import CachedClip
from backend.data.synthetic import speech_like
from backend.training.codec.config import CodecConfig, read_codec_config
from backend.training.codec.task import CodecTrainTask
from backend.training.loop.loop import Loop

RATE_HZ = 8000
CODEC = {
    "sample_rate": RATE_HZ, "n_fft": 64, "hop_samples": 16, "stride": 4, "encoder_dims": [16, 16],
    "encoder_depths": [1, 1], "decoder_dims": [16, 16], "decoder_depths": [1, 1], "latent_dim": 8,
    "n_codebooks": 3, "codebook_size": 16,
}  # fmt: skip


def tiny_codec(seed: int = 0) -> SpectralCodec:
    import torch

    torch.manual_seed(seed)
    return SpectralCodec(**CODEC)


def tiny_recipe(out: Path, **changes: Any) -> CodecConfig:
    optimizer = {"lr": 2e-3, "warmup_steps": 2}
    values: dict[str, Any] = {
        "codec": {"name": "spectral", "config": CODEC},
        "loss": {"mel_windows": [64, 128], "mel_bins": [8, 16], "complex_windows": [64]},
        "warmup": {"min_steps": 4, "max_steps": 4, "n_frames": 64},
        "recon": {"steps": 12, "batch": 2, "segment_s": 0.128, "optimizer": optimizer},
        "adversarial": {"steps": 0, "batch": 2, "segment_s": 0.128, "freeze": ["encoder", "quantizer"]},
        "discriminator": {"channels": 4, "stft_windows": [64], "n_wave_scales": 1},
        "out": out, "log_every": 1, "snapshot_minutes": 1000, "export_minutes": 1000, "audition_minutes": 1000,
    }  # fmt: skip
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) and name in values else value
    return read_codec_config(values)


def tiny_clips(n: int = 3, duration_s: float = 1.0) -> list[CachedClip]:
    clips = []
    for i in range(n):
        samples = np.round(speech_like(duration_s, RATE_HZ, seed=i).T * 32767).astype(np.int16)
        clips.append(CachedClip(f"clip{i}", f"speaker{i}", samples))
    return clips


def tiny_loop(recipe: CodecConfig, **arguments: Any) -> Loop:
    fabric = Fabric(accelerator="cpu", devices=1)
    return Loop(recipe, fabric, CodecTrainTask(recipe, tiny_codec(), fabric, tiny_clips()), **arguments)
