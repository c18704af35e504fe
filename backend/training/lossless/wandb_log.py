"""Weights & Biases beside TensorBoard, where it is asked for: offline unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.errors import NotAvailable
from backend.training.lossless.config import WandbBlock


class WandbLog:
    """Writes facts once and values as they come; does nothing without a project."""

    def __init__(self, block: WandbBlock, folder: Path, config: dict[str, Any]) -> None:
        self._run: Any = None
        if block.project is None:
            return
        try:
            import wandb
        except ImportError as error:
            raise NotAvailable(
                "wandb is not installed. Install it (pip install wandb), or leave out wandb.project."
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=block.project, name=block.run, config=config, mode=block.mode, dir=str(folder), resume="allow"
        )

    def facts(self, group: str, values: dict[str, Any]) -> None:
        if self._run is not None:
            self._run.log({f"{group}/{name}": value for name, value in values.items()})

    def step(self, step: int, values: dict[str, Any]) -> None:
        numbers = {f"train/{name}": value for name, value in values.items() if isinstance(value, int | float)}
        if self._run is not None:
            self._run.log({"train/step": step, **numbers})

    def finish(self, model: Path | None) -> None:
        """Attach the exported model, if there is one, and close."""
        if self._run is None:
            return
        if model is not None and model.exists():
            import wandb

            artifact = wandb.Artifact("model_params", type="model")
            artifact.add_file(str(model))
            self._run.log_artifact(artifact)
        self._run.finish()
