"""Named voices of a checkpoint: `voices/NAME.safetensors` with the embedding, `voices/NAME.json` with metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backend.errors import BadCheckpoint
from backend.weights.tensor_files import read_tensors

VOICES = "voices"
MAX_FACTS_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class NamedVoice:
    """A voice with its speaker embedding `conditioning` [D]."""

    id: str
    name: str
    description: str
    license: str
    gender: str
    accent: str
    conditioning: Tensor


def read_voices(folder: Path, conditioning_dim: int, device: torch.device | str = "cpu") -> tuple[NamedVoice, ...]:
    """Reads the voices of a checkpoint folder, by id. Raises `BadCheckpoint` for one that is damaged or does not fit."""
    return tuple(
        _read_voice(path, conditioning_dim, device) for path in sorted((folder / VOICES).glob("*.safetensors"))
    )


def _read_voice(path: Path, conditioning_dim: int, device: torch.device | str) -> NamedVoice:
    vector = read_tensors(path).get("conditioning")
    if vector is None or tuple(vector.shape) != (conditioning_dim,) or not bool(vector.isfinite().all()):
        shape = None if vector is None else list(vector.shape)
        raise BadCheckpoint(
            f"Voice '{path.stem}' has an embedding of shape {shape}; the model needs finite values of shape [{conditioning_dim}]. "
            "Copy the checkpoint again."
        )
    metadata_path = path.with_suffix(".json")
    try:
        with metadata_path.open("rb") as file:
            metadata = json.loads(file.read(MAX_FACTS_BYTES))
        defaults = {"id": path.stem, "name": path.stem, "description": "", "license": "", "gender": "", "accent": ""}
        text_fields = {key: str(metadata.get(key, default)) for key, default in defaults.items()}
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise BadCheckpoint(
            f"'{metadata_path.name}' is missing or not a JSON object. Copy the checkpoint again."
        ) from error
    return NamedVoice(**text_fields, conditioning=vector.float().to(device))
