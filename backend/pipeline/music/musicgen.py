"""Codes of MusicGen to sound and back, for mono and for interleaved stereo codebooks."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.codes import Codes
from backend.weights.musicgen import MusicGen


def decode_music(model: MusicGen, codes: Tensor) -> Tensor:
    """Decodes codes [B, K, T] to samples [B, channels, T * hop]; stereo codebooks are L0, R0, L1, R1, ..."""
    codec = model.codec
    sides = [codes[:, side :: model.n_channels] for side in range(model.n_channels)]
    return torch.cat([codec.decode(Codes(side, codec.spec.name)) for side in sides], 1)


def encode_music(model: MusicGen, audio: Tensor) -> Tensor:
    """Encodes samples [B, channels, N] at the codec's rate as codes [B, K, T], for a continuation."""
    sides = [model.codec.encode(audio[:, side : side + 1]).indices for side in range(model.n_channels)]
    return torch.stack(sides, 2).flatten(1, 2)
