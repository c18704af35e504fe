"""Byte model folders: `byte_lm.json` says what to build, `model.safetensors` holds the weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from backend.atomic_file import file_sha256, write_atomically
from backend.errors import BadCheckpoint, write_error
from backend.lm.byte_lm import ByteLM, ByteLMConfig
from backend.weights.tensor_files import read_tensors

FORMAT = 1
MANIFEST, WEIGHTS = "byte_lm.json", "model.safetensors"


def save_byte_lm(folder: Path, model: ByteLM, metadata: dict[str, Any] | None = None) -> None:
    """Write a checkpoint folder; each file is whole or not there."""
    blob = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    manifest = {
        "format": FORMAT, "config": model.config.as_dict(), "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "metadata": metadata or {},
    }  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((WEIGHTS, blob), (MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())):
            write_atomically(folder / name, content)
    except OSError as error:
        raise write_error(f"Folder '{folder.name}' cannot be written", error, "Choose another folder.") from error


def load_byte_lm(folder: Path) -> ByteLM:
    """The model of a checkpoint folder, in evaluation mode. Raises `BadCheckpoint` if it is not whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        config = ByteLMConfig(**manifest["config"])
        expected = manifest["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(
            f"'{folder.name}' is no folder of a byte model ({MANIFEST}). Train one with 'train pcm'."
        ) from error
    path = folder / WEIGHTS
    if not path.is_file() or file_sha256(path) != expected:
        raise BadCheckpoint(f"The weights in '{folder.name}' are not those of its {MANIFEST}. Copy the folder again.")
    model = ByteLM(config)
    try:
        model.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise BadCheckpoint(
            f"The weights in '{folder.name}' do not fit its {MANIFEST}. Copy the folder again."
        ) from error
    return model.eval()


def byte_lm_hash(model: ByteLM) -> bytes:
    """16 bytes that name a model: of its configuration and every weight."""
    digest = hashlib.sha256(json.dumps(model.config.as_dict(), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()[:16]
