"""The speaker encoder of a voice checkpoint: `speaker.safetensors`, built as config.json's "speaker" says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from backend.errors import BadCheckpoint
from backend.lm.speaker_encoder import SpeakerConfig, SpeakerEncoder
from backend.weights.codec_checkpoint import check_fit
from backend.weights.int8_storage import from_int8_rows
from backend.weights.tensor_files import read_tensors

SPEAKER_WEIGHTS = "speaker.safetensors"


def load_speaker(folder: Path, manifest: Mapping[str, Any], device: torch.device | str = "cpu") -> SpeakerEncoder:
    """The encoder in float32 and evaluation mode. Raises `BadCheckpoint` if there is none, or if it does not fit."""
    if "speaker" not in manifest:
        raise BadCheckpoint(f"'{folder.name}' has no speaker encoder, so no voice can be cloned with it.")
    try:
        encoder = SpeakerEncoder(SpeakerConfig(**manifest["speaker"]))
    except TypeError as error:
        raise BadCheckpoint(f'"speaker" in config.json describes no encoder: {error}. Copy it again.') from error
    tensors = from_int8_rows(read_tensors(folder / SPEAKER_WEIGHTS))
    check_fit(encoder.state_dict(), tensors)
    encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return encoder.eval().requires_grad_(False).to(device)
