"""The music training task: a language model over the codes of rendered music, described by its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from backend.training.loop.ema import ExponentialMovingAverage
from backend.training.loop.guards import guarded_step
from backend.training.loop.optimizer import build_optimizer, follow_schedule
from backend.training.music.config import MusicConfig
from backend.training.music.dataset import MusicBatch, MusicDataset
from backend.training.music.model import MusicLosses, MusicModel, export_music_model

BEST = "best"


class MusicTask:
    watched = "loss"

    def __init__(self, recipe: MusicConfig, model: MusicModel, fabric: Fabric, dataset: MusicDataset):
        self.recipe, self.fabric, self.dataset = recipe, fabric, dataset
        self.model = model.to(fabric.device)
        self.average = ExponentialMovingAverage(self.model, recipe.average_decay)
        self.n_frames_seen = self._frames_mark = 0
        self.best_loss = float("inf")

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        self.model.requires_grad_(True).train()
        self.trained = list(self.model.parameters())
        self.optimizer = build_optimizer(self.trained, self.recipe.train.optimizer)
        self._wrapped = self.fabric.setup_module(self.model)
        self.batches = self.dataset.batches(seed)
        self._rng = torch.Generator().manual_seed(seed % (1 << 63))

    def set_lr(self, phase_step: int, scale: float) -> float:
        block = self.recipe.train
        return follow_schedule(self.optimizer, block.optimizer, phase_step, block.steps, scale)

    def reseed(self, seed: int) -> None:
        self.batches.reseed(seed)
        self._rng.manual_seed(seed % (1 << 63))

    def train_step(self, phase_step: int, is_detailed: bool = False) -> dict[str, Tensor]:
        batch, weights = self.batches.next(self.recipe.crop_frames_at(phase_step)), self.recipe.loss
        n_frames = batch.codes.shape[0] * batch.codes.shape[1]
        self.n_frames_seen += n_frames
        n_kept = max(round(weights.residual_share * n_frames), 1)
        kept = torch.randperm(n_frames, generator=self._rng)[:n_kept].sort().values
        losses: MusicLosses = self._wrapped(self._moved(batch), kept.to(self.fabric.device), weights.dropout)
        residual = losses.residual.mean()
        total = weights.main * losses.main + weights.residual * residual
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        norm, skipped = guarded_step(self.optimizer, self.trained, self.recipe.train.optimizer.clip)
        self.average.update(phase_step)
        values = {
            "loss": total, "main": losses.main, "residual": residual, "main_accuracy": losses.main_accuracy,
            "residual_accuracy": losses.residual_accuracy.mean(), "gradient_norm": norm, "skipped": skipped,
        }  # fmt: skip
        if is_detailed:
            values |= {f"residual_{k + 1}": loss for k, loss in enumerate(losses.residual)}
        return values

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        n_frames, self._frames_mark = self.n_frames_seen - self._frames_mark, self.n_frames_seen
        epoch = self.n_frames_seen / self.dataset.n_frames
        return {"frames_per_cpu_s": n_frames / cpu_s, "frames_seen": self.n_frames_seen, "epoch": epoch}

    def on_log(self, step: int, values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return []

    def export_metadata(self) -> dict[str, Any]:
        return {"frames_seen": self.n_frames_seen}

    def validate(self, folder: Path) -> dict[str, Any]:
        """Returns losses of the averaged weights on held-out pieces, described truly and as another piece.

        The difference, `prompt_gain`, is how much the model makes of a description; 0 means it ignores it. The best
        averaged weights so far are exported to `best/` in the run's folder.
        """
        if not self.dataset.validation:
            return {}
        values = self._losses("validation", is_shuffled=False) | self._losses("shuffled", is_shuffled=True)
        values["prompt_gain"] = values["shuffled_loss"] - values["validation_loss"]
        values["is_best"] = values["validation_loss"] < self.best_loss
        if values["is_best"]:
            self.best_loss = values["validation_loss"]
            if self.fabric.is_global_zero:
                facts = {**self.export_metadata(), "validation_loss": self.best_loss}
                export_music_model(self.recipe.out / BEST, self.average.module, self.dataset, self.recipe.export, facts)
        return values

    @torch.no_grad()
    def _losses(self, name: str, *, is_shuffled: bool) -> dict[str, Any]:
        sums: list[Tensor] = [torch.zeros(())] * len(MusicLosses._fields)
        model, n_all = self.average.module, 0
        for batch in self.dataset.fixed_batches(is_shuffled=is_shuffled):
            with self.fabric.autocast():
                losses = model(self._moved(batch))
            n_all += len(batch.codes)
            sums = [s + len(batch.codes) * v.float().cpu() for s, v in zip(sums, losses, strict=True)]
        means, weights = MusicLosses(*(value / n_all for value in sums)), self.recipe.loss
        values: dict[str, Any] = {
            f"{name}_loss": float(weights.main * means.main + weights.residual * means.residual.mean())
        }
        return values | {f"{name}_{field}": value.tolist() for field, value in means._asdict().items()}

    def _moved(self, batch: MusicBatch) -> MusicBatch:
        return MusicBatch(*(tensor.to(self.fabric.device, non_blocking=True) for tensor in batch))

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(), "batches": self.batches.state(), "rng": self._rng.get_state(),
            "n_frames_seen": self.n_frames_seen, "best_loss": self.best_loss,
        }  # fmt: skip

    def restore(self, state: dict[str, Any], is_first: bool = True) -> None:
        """Restores a saved state. Only the first process continues with the same batches."""
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_frames_seen = self._frames_mark = state["n_frames_seen"]
        self.best_loss = state["best_loss"]
        if is_first:
            self.batches.restore(state["batches"])
            self._rng.set_state(state["rng"])
