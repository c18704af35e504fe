"""A language model of music codes and its losses on a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from backend.atomic_file import write_atomically
from backend.errors import BadSettings
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.teacher_forcing import residual_logits, states
from backend.music.conditioning import CONDITIONING_DIM, SIDE_SIZES
from backend.training.music.config import MusicExportBlock, MusicModelBlock
from backend.training.music.dataset import MusicBatch, MusicDataset
from backend.weights.fish_lm import dual_ar_from_tensors, published_shapes
from backend.weights.int8_storage import from_int8_rows, to_int8_rows
from backend.weights.tensor_files import read_tensors

NAME, WEIGHTS = "phonogram-music", "model.safetensors"


class MusicLosses(NamedTuple):
    """Cross entropies in nats: first code, each further code [K - 1]."""

    main: Tensor
    residual: Tensor
    main_accuracy: Tensor
    residual_accuracy: Tensor  # [K - 1]


class MusicModel(nn.Module):
    def __init__(self, lm: DualAR):
        super().__init__()
        self.lm = lm

    def forward(self, batch: MusicBatch, kept: Tensor | None = None, dropout: float = 0.0) -> MusicLosses:
        """Returns the losses; `kept` (indices into the B * S frames) selects those whose further codes count."""
        lm = self.lm
        x, normed = states(lm, batch.tokens, None, batch.conditioning, batch.side, is_scaled=True, dropout=dropout)
        x, normed, codes = x.flatten(0, 1), normed.flatten(0, 1), batch.codes.flatten(0, 1)
        main = lm.legal_logits(normed)[:, :-1].float()
        main_loss, first = F.cross_entropy(main, codes[:, 0]), codes[:, 0]
        hidden = lm.fast_input(x, normed)
        if kept is not None:
            hidden, codes = hidden[kept], codes[kept]
        residual = residual_logits(lm, hidden, codes).float()
        labels = codes[:, 1:]
        return MusicLosses(
            main_loss,
            F.cross_entropy(residual.transpose(1, 2), labels, reduction="none").mean(dim=0),
            (main.argmax(dim=-1) == first).float().mean(),
            (residual.argmax(dim=-1) == labels).float().mean(dim=0),
        )


def build_music_model(block: MusicModelBlock, dataset: MusicDataset) -> MusicModel:
    """Builds a model with random weights from torch's global generator."""
    decided: dict[str, Any] = {
        "family": "phonogram", "vocab_size": dataset.codebook_size + 2, "codebook_size": dataset.codebook_size,
        "num_codebooks": block.n_codebooks, "semantic_begin_id": 0, "semantic_end_id": dataset.codebook_size - 1,
        "end_id": dataset.end_id, "side_sizes": SIDE_SIZES, "conditioning_dim": CONDITIONING_DIM,
    }  # fmt: skip
    taken = sorted(set(decided) & set(block.config))
    if taken:
        raise BadSettings(f"model.config sets {', '.join(taken)}, which are derived from the codec. Leave them out.")
    try:
        config = DualARConfig(**decided, **block.config)
    except (TypeError, ValueError) as error:
        raise BadSettings(f"model.config is invalid: {error}. Correct it.") from error
    if config.max_seq_len < dataset.block.crop_frames:
        raise BadSettings(
            f"data.crop_frames is {dataset.block.crop_frames}; model.config.max_seq_len is {config.max_seq_len}. "
            "Shorten the crops, or raise it."
        )
    return MusicModel(DualAR(config, NAME))


def load_music_weights(model: MusicModel, folder: Path) -> None:
    """Loads the weights of an exported model. Raises `BadCheckpoint` for other shapes."""
    tensors = from_int8_rows(read_tensors(folder / WEIGHTS))
    model.lm.load_state_dict(dual_ar_from_tensors(model.lm.config, tensors, is_serving=False).state_dict())


def export_music_model(
    folder: Path, model: MusicModel, dataset: MusicDataset, block: MusicExportBlock, facts: Mapping[str, Any]
) -> None:
    """Writes the weights, then the config, so that a folder with a config is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in published_shapes(model.lm).items()}
    if block.storage == "int8":
        tensors = to_int8_rows(tensors)
    else:
        tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    write_atomically(folder / WEIGHTS, save(tensors))
    spec = dataset.spec
    codec = {"name": spec.codec, "codes_sha256": spec.codes_sha256, "frame_rate_hz": spec.frame_rate_hz}
    manifest = {
        **model.lm.config.to_dict(), "begin_id": dataset.begin_id, "codec": codec, "storage": block.storage,
        "license": block.license, "description": block.description, **facts,
    }  # fmt: skip
    write_atomically(folder / "config.json", (json.dumps(manifest, indent=2) + "\n").encode())
