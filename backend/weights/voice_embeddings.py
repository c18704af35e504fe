"""The named voices of a checkpoint: `voices/NAME.safetensors` with the vector, `voices/NAME.json` with the facts."""

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
    """A voice by its vector `conditioning` [D]."""

    id: str
    name: str
    description: str
    license: str
    conditioning: Tensor


def read_voices(folder: Path, conditioning_dim: int, device: torch.device | str = "cpu") -> tuple[NamedVoice, ...]:
    """The voices of a checkpoint folder, by id. Raises `BadCheckpoint` for one that is damaged or does not fit."""
    return tuple(
        _read_voice(path, conditioning_dim, device) for path in sorted((folder / VOICES).glob("*.safetensors"))
    )


def _read_voice(path: Path, conditioning_dim: int, device: torch.device | str) -> NamedVoice:
    vector = read_tensors(path).get("conditioning")
    if vector is None or tuple(vector.shape) != (conditioning_dim,) or not bool(vector.isfinite().all()):
        found = None if vector is None else list(vector.shape)
        raise BadCheckpoint(
            f"Voice '{path.stem}' has a vector of shape {found}; the model takes finite numbers [{conditioning_dim}]. "
            "Copy the checkpoint again."
        )
    facts_path = path.with_suffix(".json")
    try:
        with facts_path.open("rb") as file:
            facts = json.loads(file.read(MAX_FACTS_BYTES))
        defaults = {"id": path.stem, "name": path.stem, "description": "", "license": ""}
        said = {key: str(facts.get(key, default)) for key, default in defaults.items()}
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise BadCheckpoint(f"'{facts_path.name}' is missing or no JSON object. Copy the checkpoint again.") from error
    return NamedVoice(**said, conditioning=vector.float().to(device))
