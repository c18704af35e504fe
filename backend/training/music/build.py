"""Builds the training loop of a music model: codes, model, export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.fabric import Fabric

from backend.data.token_shards import ShardSpec
from backend.training.loop.loop import Loop, Reporter
from backend.training.music.config import MusicConfig
from backend.training.music.corpus import CodedPiece, encode_corpus
from backend.training.music.dataset import MusicDataset
from backend.training.music.model import MusicModel, build_music_model, export_music_model, load_music_weights
from backend.training.music.task import MusicTask
from backend.weights import codes_hash, load_codec


def open_run(
    recipe: MusicConfig, fabric: Fabric, reporter: Reporter | None = None,
    encoding: Callable[[int, int], None] | None = None,
) -> Loop:  # fmt: skip
    """Opens a run on a folder of renders, encoding what is not yet encoded with this codec."""
    data = recipe.data
    with fabric.rank_zero_first():
        spec, pieces = encode_corpus(data.dir, load_codec(data.codec), codes_hash(data.codec), data.codes_dir, encoding)
    return build_run(recipe, fabric, spec, pieces, reporter)


def build_run(
    recipe: MusicConfig, fabric: Fabric, spec: ShardSpec, pieces: Sequence[CodedPiece],
    reporter: Reporter | None = None,
) -> Loop:  # fmt: skip
    dataset = MusicDataset(recipe.data, spec, pieces, recipe.model.n_codebooks)
    model = build_music_model(recipe.model, dataset)
    if recipe.init is not None:
        load_music_weights(model, recipe.init)

    def export(trained: MusicModel, facts: dict[str, Any]) -> None:
        with torch.inference_mode():
            export_music_model(recipe.out / "model", trained, dataset, recipe.export, facts)

    return Loop(recipe, fabric, MusicTask(recipe, model, fabric, dataset), reporter, export)
