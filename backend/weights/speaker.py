"""Loads the speaker encoder of a voice checkpoint: `speaker.safetensors`, configured by "speaker" in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from backend.errors import BadCheckpoint
from backend.lm.speaker_encoder import SpeakerConfig, SpeakerEncoder
from backend.weights.int8_storage import from_int8_rows
from backend.weights.strict import check_fit
from backend.weights.tensor_files import read_tensors

SPEAKER_WEIGHTS = "speaker.safetensors"


def load_speaker(folder: Path, manifest: Mapping[str, Any], device: torch.device | str = "cpu") -> SpeakerEncoder:
    """Loads the encoder in float32 and eval mode. Raises `BadCheckpoint` if it is missing or does not fit."""
    if "speaker" not in manifest:
        raise BadCheckpoint(
            f"'{folder.name}' has no speaker encoder, so it cannot clone voices. Use a checkpoint that has one."
        )
    try:
        encoder = SpeakerEncoder(SpeakerConfig(**manifest["speaker"]))
    except TypeError as error:
        raise BadCheckpoint(
            f'"speaker" in config.json is not a valid encoder configuration: {error}. Copy the checkpoint again.'
        ) from error
    tensors = from_int8_rows(read_tensors(folder / SPEAKER_WEIGHTS))
    check_fit(encoder.state_dict(), tensors)
    encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return encoder.eval().requires_grad_(False).to(device)
