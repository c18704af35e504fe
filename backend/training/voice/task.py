"""The voice training task: a language model over codes with a pointer and a speaker encoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from backend.training.loop.ema import ExponentialMovingAverage
from backend.training.loop.guards import guarded_step
from backend.training.loop.optimizer import build_optimizer, follow_schedule
from backend.training.voice.batch import VoiceBatch
from backend.training.voice.code_embeddings import plain
from backend.training.voice.config import VoiceConfig
from backend.training.voice.dataset import VoiceDataset
from backend.training.voice.model import VoiceLosses, VoiceModel

# Validates generated speech; provided by the caller, which has the codec and the recognizer.
Listen = Callable[[VoiceModel, Path], dict[str, Any]]


class VoiceTask:
    watched = "loss"

    def __init__(
        self, recipe: VoiceConfig, model: VoiceModel, fabric: Fabric, dataset: VoiceDataset, listen: Listen | None = None
    ):  # fmt: skip
        self.recipe, self.fabric, self.dataset, self.listen = recipe, fabric, dataset, listen
        self.model = model.to(fabric.device)
        self.average = ExponentialMovingAverage(self.model, recipe.average_decay)
        self.n_frames_seen = 0
        self._frames_mark = 0

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
        return self.step(self.batches.next(), phase_step, is_detailed)

    def step(self, batch: VoiceBatch, phase_step: int, is_detailed: bool = False) -> dict[str, Tensor]:
        """Trains on a batch; returns scalars to average. `is_detailed` adds the loss of each codebook."""
        noise, weights = self.recipe.noise, self.recipe.loss
        self.n_frames_seen += len(batch.at)
        device = self.fabric.device
        has_speaker = torch.rand(len(batch.reference), generator=self._rng) >= noise.no_speaker_probability
        n_kept = max(round(weights.residual_share * len(batch.at)), 1)
        kept = torch.randperm(len(batch.at), generator=self._rng)[:n_kept].sort().values
        blur = None
        if noise.speaker_std:
            shape = len(has_speaker), self.model.speaker.config.out_dim
            blur = noise.speaker_std * torch.randn(shape, generator=self._rng).to(device)
        batch = batch._replace(tokens=self.spoil(batch.tokens))
        batch = VoiceBatch(*(tensor.to(device, non_blocking=True) for tensor in batch))
        losses: VoiceLosses = self._wrapped(
            batch, has_speaker.to(device), kept.to(device), weights.label_smoothing, noise.dropout, blur
        )
        residual = losses.residual.mean()
        total = weights.main * losses.main + weights.residual * residual + weights.advance * losses.advance
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        norm, skipped = guarded_step(self.optimizer, self.trained, self.recipe.train.optimizer.clip)
        self.average.update(phase_step)
        values = {
            "loss": total, "main": losses.main, "residual": residual, "advance": losses.advance,
            "main_accuracy": losses.main_accuracy, "residual_accuracy": losses.residual_accuracy.mean(),
            "advance_accuracy": losses.advance_accuracy, "gradient_norm": norm, "skipped": skipped,
        }  # fmt: skip
        if is_detailed:
            values |= {f"residual_{k + 1}": loss for k, loss in enumerate(losses.residual)}
        return values

    def spoil(self, tokens: Tensor) -> Tensor:
        """Adds noise to inputs [B, R, S] to imitate generation errors: some frames become another one of the batch,
        some keep their first code only.
        """
        noise, lm = self.recipe.noise, self.model.lm
        frames = lm.is_frame(tokens).flatten().nonzero()[:, 0]  # tokens are on the generator's device
        if not len(frames):
            return tokens
        rows = tokens.transpose(1, 2).flatten(0, 1).clone()  # [B * S, R]
        chance = torch.rand(len(frames), generator=self._rng)
        other = frames[torch.randint(len(frames), (len(frames),), generator=self._rng)]
        is_other = chance < noise.frame_probability
        is_coarse = ~is_other & (chance < noise.frame_probability + noise.residual_probability)
        source = rows[other]
        rows[frames[is_other]] = source[is_other]
        coarse = frames[is_coarse]
        rows[coarse, 2:] = source[is_coarse, 2:]
        B, R, S = tokens.shape
        return rows.reshape(B, S, R).transpose(1, 2)

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        n_frames, self._frames_mark = self.n_frames_seen - self._frames_mark, self.n_frames_seen
        return {"frames_per_cpu_s": n_frames / cpu_s, "frames_seen": self.n_frames_seen, "epoch": self.batches.epoch}

    def on_log(self, step: int, values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return []

    def export_metadata(self) -> dict[str, Any]:
        return {"frames_seen": self.n_frames_seen}

    def validate(self, folder: Path) -> dict[str, Any]:
        """Returns losses on held-out utterances of known and unseen speakers, and metrics of generated speech."""
        began = time.monotonic()
        values = self.validation_losses("validation", self.dataset.validation) | self.validation_losses(
            "unseen", self.dataset.unseen
        )
        if self.listen is not None:
            values |= self.listen(plain(self.average.module), folder)
        return values | {"audition_s": time.monotonic() - began} if values else {}

    @torch.no_grad()
    def validation_losses(self, name: str, items: list[Any]) -> dict[str, Any]:
        """Returns mean losses and accuracies of the averaged weights over utterances, under names that start with
        `name`.
        """
        if not items:
            return {}
        sums: list[Tensor] = [torch.zeros(())] * len(VoiceLosses._fields)
        n_all = 0
        for batch in self.dataset.fixed_batches(items, self.recipe.data.frames_per_batch):
            with self.fabric.autocast():
                losses = self.average.module(VoiceBatch(*(tensor.to(self.fabric.device) for tensor in batch)))
            n = len(batch.at)
            n_all += n
            sums = [s + n * v.float() for s, v in zip(sums, losses, strict=True)]
        means = VoiceLosses(*(value / n_all for value in sums))
        weights = self.recipe.loss
        total = weights.main * means.main + weights.residual * means.residual.mean() + weights.advance * means.advance
        values: dict[str, Any] = {f"{name}_loss": float(total)}
        for field, value in means._asdict().items():
            values[f"{name}_{field}"] = value.tolist()
        return values

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(), "batches": self.batches.state(), "rng": self._rng.get_state(),
            "n_frames_seen": self.n_frames_seen,
        }  # fmt: skip

    def restore(self, state: dict[str, Any], is_first: bool = True) -> None:
        """Restores a saved state. Only the first process continues with the same batches."""
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_frames_seen = self._frames_mark = state["n_frames_seen"]
        if is_first:
            self.batches.restore(state["batches"])
            self._rng.set_state(state["rng"])
