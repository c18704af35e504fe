"""A run that trains a byte model on a folder of WAV files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from backend.lm.byte_lm import ByteLM
from backend.training.loop.loop import Loop, Reporter
from backend.training.lossless.config import PcmConfig
from backend.training.lossless.dataset import open_pcm_dataset
from backend.training.lossless.task import PcmTask, model_config
from backend.training.lossless.wandb_log import WandbLog
from backend.weights.byte_lm_checkpoint import save_byte_lm

log = logging.getLogger(__name__)


def train_audio_transformer(
    recipe: PcmConfig, fabric: Fabric, reporter: Reporter | None, run: Callable[[Loop], str]
) -> str:
    """Train, or go on with the run in `recipe.out`; the reason it ended. `run` runs the loop."""
    dataset = open_pcm_dataset(recipe.data, recipe.seed)
    model = ByteLM(model_config(recipe))
    facts = {
        "total_parameters": sum(tensor.numel() for tensor in model.parameters()), **model.config.as_dict()
    }  # fmt: skip
    log.info("data: %s", json.dumps(dataset.facts))
    log.info("model: %s", json.dumps(facts))
    wandb = WandbLog(recipe.wandb, recipe.out, recipe.model_dump(mode="json"))
    wandb.facts("dataset", dataset.facts)
    wandb.facts("model", facts)
    folder = recipe.out / "byte_lm"

    def report(step: int, total: int, values: dict[str, Any]) -> None:
        wandb.step(step, values)
        if reporter is not None:
            reporter(step, total, values)

    def export(trained: ByteLM, metadata: dict[str, Any]) -> None:
        save_byte_lm(folder, trained, metadata)

    reason = run(Loop(recipe, fabric, PcmTask(recipe, model, fabric, dataset), report, export))
    wandb.finish(Path(folder) / "model.safetensors")
    return reason
