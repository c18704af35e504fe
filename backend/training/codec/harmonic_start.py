"""A codec with a harmonic decoder, from a trained one without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from backend.codec.base import CausalCodec
from backend.codec.harmonic_decoder import HarmonicDecoder
from backend.codec.spectral import SpectralCodec
from backend.errors import BadSettings
from backend.weights.codec_checkpoint import load_strictly
from backend.weights.tensor_files import read_tensors

# How files of such decoders alone name the F0 network's parts.
_FLAT = "f0_"
_RENAMED = {"in": "narrow"}


def harmonic_codec(plain: CausalCodec, config: Mapping[str, Any], decoder_weights: Path | None) -> SpectralCodec:
    """The codec `plain` with a harmonic decoder: same codes, and the decoder of a file, or one grown from the plain.

    `config` holds what is said of the new decoder (`source`, `noise_band_hz`). A grown F0 network starts from
    the plain decoder's slow blocks. Raises `BadSettings` for another kind of codec.
    """
    if not isinstance(plain, SpectralCodec):
        raise BadSettings(f"Codec '{plain.spec.name}' has no harmonic decoder; only 'spectral' has. Give another init.")
    codec = SpectralCodec(**{**plain.config, "source": "harmonic", **config}).eval()
    tensors = plain.state_dict()
    if decoder_weights is not None:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
        tensors |= {f"decoder.{name}": tensor for name, tensor in _nested(read_tensors(decoder_weights)).items()}
    elif not isinstance(plain.decoder, HarmonicDecoder):
        tensors = codec.state_dict() | tensors
        for part in ("project_in", "slow_blocks", "split"):
            prefix = f"decoder.{part}."
            copied = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            tensors |= {f"decoder.f0_network.{name.removeprefix('decoder.')}": t for name, t in copied.items()}
    load_strictly(codec, tensors)
    return codec


def _nested(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    nested = {}
    for name, tensor in tensors.items():
        part, dot, rest = name.partition(".")
        if part.startswith(_FLAT) and part != "f0_network":
            part = part.removeprefix(_FLAT)
            part = f"f0_network.{_RENAMED.get(part, part)}"
        nested[part + dot + rest] = tensor
    return nested
