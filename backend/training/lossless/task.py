"""A byte model as something to train: bits per byte on chunks drawn at random."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import Tensor

from backend.data.datasets.pcm_chunks import tokens_of
from backend.lm.byte_lm import ByteLM, ByteLMConfig, create_audio_transformer_config
from backend.training.loop.ema import ExponentialMovingAverage
from backend.training.loop.guards import guarded_step
from backend.training.loop.optimizer import build_optimizer, follow_schedule
from backend.training.lossless.config import PcmConfig
from backend.training.lossless.dataset import PcmDataset


class PcmTask:
    watched = "loss"

    def __init__(self, recipe: PcmConfig, model: ByteLM, fabric: Fabric, dataset: PcmDataset) -> None:
        self.recipe, self.fabric, self.dataset = recipe, fabric, dataset
        self.model = model.to(fabric.device)
        self.average = ExponentialMovingAverage(self.model, recipe.average_decay)
        self.n_bytes_seen = self._bytes_mark = 0

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        self.model.requires_grad_(True).train()
        self.trained = list(self.model.parameters())
        self.optimizer = build_optimizer(self.trained, self.recipe.train.optimizer)
        self._wrapped = self.fabric.setup_module(self.model)
        self._rng = torch.Generator()
        self.reseed(seed)

    def set_lr(self, phase_step: int, scale: float) -> float:
        block = self.recipe.train
        return follow_schedule(self.optimizer, block.optimizer, phase_step, block.steps, scale)

    def reseed(self, seed: int) -> None:
        self._rng.manual_seed(seed % (1 << 63))

    def train_step(self, phase_step: int, is_detailed: bool) -> dict[str, Tensor]:
        rows = torch.randint(len(self.dataset.train), (self.recipe.train.batch,), generator=self._rng)
        chunks = self.dataset.train[rows.numpy()]
        self.n_bytes_seen += chunks.size
        loss = self._bits_per_byte(self._wrapped, chunks)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm, skipped = guarded_step(self.optimizer, self.trained, self.recipe.train.optimizer.clip)
        self.average.update(phase_step)
        return {"loss": loss.detach(), "gradient_norm": norm, "skipped": skipped}

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        n_bytes, self._bytes_mark = self.n_bytes_seen - self._bytes_mark, self.n_bytes_seen
        return {"bytes_per_cpu_s": n_bytes / cpu_s, "bytes_seen": self.n_bytes_seen}

    def on_log(self, step: int, values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return []

    def export_metadata(self) -> dict[str, Any]:
        return {"bytes_seen": self.n_bytes_seen, "data": self.dataset.facts}

    @torch.no_grad()
    def validate(self, folder: Path) -> dict[str, Any]:
        """Bits per byte of the averaged weights on the held-out chunks, beside FLAC on their files."""
        model, size = self.average.module, self.recipe.train.batch
        parts = [self.dataset.valid[i : i + size] for i in range(0, len(self.dataset.valid), size)]
        total = sum(float(self._bits_per_byte(model, part)) * len(part) for part in parts)
        return {
            "bits_per_byte": total / len(self.dataset.valid), "flac_bits_per_byte": self.dataset.facts["flac_bits_per_byte"],
        }  # fmt: skip

    def _bits_per_byte(self, model: Any, chunks: np.ndarray) -> Tensor:
        data = self.recipe.data
        tokens = np.stack([tokens_of(chunk.tobytes(), data.use_16bit, data.is_byte_level) for chunk in chunks])
        targets = torch.from_numpy(tokens).to(self.fabric.device)
        logits = model(targets)
        nats = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")
        return nats / (math.log(2.0) * chunks.size)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(), "rng": self._rng.get_state(), "n_bytes_seen": self.n_bytes_seen,
        }  # fmt: skip

    def restore(self, state: dict[str, Any], is_first: bool = True) -> None:
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.n_bytes_seen = self._bytes_mark = state["n_bytes_seen"]
        if is_first:
            self._rng.set_state(state["rng"])


def model_config(recipe: PcmConfig) -> ByteLMConfig:
    """The model that fits the data: its vocabulary and the bytes of a sample."""
    data = recipe.data
    is_wide = data.use_16bit and not data.is_byte_level
    n_phases = 2 if data.use_16bit and data.is_byte_level else 1
    return create_audio_transformer_config(is_wide, n_phases=n_phases, **recipe.model.config)
