"""Validation of the averaged codec on held-out clips."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.data.audio_cache import CachedClip
from backend.training.codec.losses import SpectralLoss

MAX_CLIP_S = 5.0


@torch.no_grad()
def validate_codec(
    codec: CausalCodec, clips: list[CachedClip], loss: SpectralLoss, is_quantized: bool, folder: Path | None = None
) -> dict[str, Any]:
    """Returns mean log-mel distance, STOI and PESQ over the clips, with all codebooks and with fewer.

    STOI and PESQ need their packages. With a `folder`, the clips are also written there.
    """
    spec, device = codec.spec, next(codec.parameters()).device
    codec.eval()
    counts = sorted({1, max(spec.n_codebooks // 4, 1), max(spec.n_codebooks // 2, 1), spec.n_codebooks})
    values: dict[str, Any] = {"codebooks": counts if is_quantized else [spec.n_codebooks]}
    table: dict[str, list[float]] = {}
    for n_codebooks in values["codebooks"]:
        scores: dict[str, list[float]] = {}
        for i, clip in enumerate(clips):
            samples = clip.samples[: int(MAX_CLIP_S * spec.sample_rate_hz)].T.astype(np.float32) / 32768.0
            audio = torch.from_numpy(samples)[None]
            padded = torch.nn.functional.pad(audio, (0, spec.latency_samples))
            padded = torch.nn.functional.pad(padded, (0, -padded.shape[2] % spec.hop_samples)).to(device)
            kept = torch.tensor([n_codebooks], device=device) if is_quantized else None
            decoded = codec.reconstruct(padded, kept, is_quantized).audio
            decoded = decoded[:, :, spec.latency_samples :][:, :, : audio.shape[2]].float()
            mel = loss(decoded, audio.to(device)).mel
            scores.setdefault("mel", []).append(float(mel))
            mono, reference = decoded[0].mean(dim=0).cpu().numpy(), samples.mean(axis=0)
            for name, score in _perceptual(reference, mono, spec.sample_rate_hz).items():
                scores.setdefault(name, []).append(score)
            if folder is not None and n_codebooks == spec.n_codebooks:
                folder.mkdir(parents=True, exist_ok=True)
                for name, sound in ((f"clip{i}.wav", mono), (f"clip{i}-original.wav", reference)):
                    write_audio(folder / name, Waveform.of(sound, spec.sample_rate_hz))
        for name, numbers in scores.items():
            table.setdefault(name, []).append(float(np.mean(numbers)))
    return values | table


def _perceptual(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> dict[str, float]:
    """Returns STOI and wideband PESQ, if installed."""
    scores = {}
    at_16k = [soxr.resample(x, rate_hz, 16000) for x in (reference, decoded)]
    if find_spec("pystoi"):
        scores["stoi"] = float(import_module("pystoi").stoi(*at_16k, 16000))
    if find_spec("pesq"):
        pesq = import_module("pesq")
        scores["pesq"] = float(pesq.pesq(16000, *at_16k, "wb", on_error=pesq.PesqError.RETURN_VALUES))
    return scores
