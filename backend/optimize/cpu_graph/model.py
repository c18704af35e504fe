"""A `DualAR` on CPU whose frames run as calls bound once to fixed buffers: for small or quantized models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor, nn

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR, DualARState
from backend.lm.spec import StepOutput
from backend.optimize.base import Support
from backend.optimize.cpu_graph.step import CpuGraphFrame, CpuGraphStep
from backend.optimize.cpu_graph.weights import FastWeights, SlowWeights, has_half_precision
from backend.optimize.lowbit.fused_block import FusedBlock

# Larger float32 models spend their time in matrix products, and a second copy of their weights would be large.
MAX_WEIGHTS = 64_000_000
# Largest batch of a float32 model; beyond it matrix products dominate the time.
MAX_ROWS = 16
MAX_FRAME_GRAPHS = 32


@dataclass(slots=True)
class CpuGraphState(DualARState):
    """A `DualARState` with the buffers of each batch size in use."""

    steps: dict[int, CpuGraphStep] = field(default_factory=dict)
    # By the id of the sampling model and the number of rows.
    frames: LRUCache[tuple[int, int], CpuGraphFrame] = field(default_factory=lambda: LRUCache(MAX_FRAME_GRAPHS))


class CpuGraphDualAR(DualAR):
    """A `DualAR` whose `step` and `sample_frames` run bound calls."""

    slow_weights: SlowWeights | None
    fast_weights: FastWeights
    max_rows: int

    @classmethod
    def of(cls, lm: DualAR) -> CpuGraphDualAR:
        """Converts `lm` in place."""
        if lm.head is None:
            lm.narrow_head()
        lm.__class__ = cls
        assert isinstance(lm, cls)
        # Quantized rows round the same in every batch size, so all of them run here.
        lm.max_rows = sys.maxsize if isinstance(lm.layers[0], FusedBlock) else MAX_ROWS
        lm.slow_weights, lm.fast_weights = SlowWeights.of(lm), FastWeights.of(lm)
        return lm

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        state = super().init_state(batch, max_frames, kv_dtype)
        if kv_dtype not in (None, torch.float32):
            return state
        return CpuGraphState(state.slow, state.fast, state.recent, state.conditioning)

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        if not isinstance(state, CpuGraphState) or len(rows) > self.max_rows or not self._is_regular(frames, side):
            return super().step(frames, state, rows, side)
        graph = state.steps.get(len(rows))
        if graph is None:
            graph = state.steps[len(rows)] = CpuGraphStep(self.slow_weights, len(rows), self.embed)
        return graph.step(frames, side, state, list(rows))

    def _is_regular(self, frames: Tensor, side: Tensor | None) -> bool:
        """Audio frames with their side ids; end frames and rows without side ids are embedded differently."""
        main, spec = frames.numpy()[:, 0], self.spec
        is_audio = spec.semantic_begin_id <= main.min() and main.max() <= spec.semantic_end_id
        return bool(is_audio) and (side is not None or not spec.n_side)

    def keep_fast_only(self) -> None:
        super().keep_fast_only()
        self.slow_weights = None

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        if not isinstance(state, CpuGraphState) or len(rows) > self.max_rows:
            return super().sample_frames(out, samplers, state, rows)
        key = (id(self), len(rows))
        graph = state.frames.get(key)
        if graph is None:
            graph = state.frames[key] = CpuGraphFrame(self.fast_weights, len(rows))
        return sample_rows(graph, out, samplers, state.recent, list(rows))


class FrameProgram(Protocol):
    """Samples the next frames [B, R] after the previous ones [B, W, R]."""

    def frames(self, out: StepOutput, samplers: Sequence[SamplerState], recent: np.ndarray) -> np.ndarray: ...


def sample_rows(
    graph: FrameProgram, out: StepOutput, samplers: Sequence[SamplerState], recent: Tensor, rows: list[int]
) -> Tensor:
    """Samples the next frame of `rows` with `graph`, and moves their recent frames and samplers on by one."""
    history = recent.numpy()
    window = history[rows]
    frames = graph.frames(out, samplers, window)
    window[:, :-1], window[:, -1] = window[:, 1:], frames
    history[rows] = window
    for sampler in samplers:
        sampler.frame += 1
    return torch.from_numpy(frames)


@dataclass(frozen=True, slots=True)
class CpuGraph:
    """Exact up to the order of float sums; samples with the same noise."""

    name: str = "cpu_graph"
    is_exact: bool = True
    tolerance: float = 1e-4

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"supports DualAR only, not {type(model).__name__}")
        if device.type != "cpu":
            return Support(False, f"needs a CPU; this is {device.type}")
        if isinstance(model, CpuGraphDualAR):
            return Support(False, "it is already bound")
        stacks = [block for stack in (model.layers, model.fast_layers) for block in stack]
        if all(isinstance(block, FusedBlock) for block in stacks):
            return Support(True, "calls are bound once around quantized matmuls")
        if any(block.attention.has_qk_norm or _has_bias(block) for block in stacks):
            return Support(False, "its attention has norms or biases, which bound calls do not support")
        if has_half_precision([model]):
            return Support(False, "some of its weights are not float32")
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        if n_weights > MAX_WEIGHTS:
            return Support(
                False, f"with {n_weights / 1e6:.0f} M weights, call overhead is a small part of its frame time"
            )
        return Support(True, "calls are bound once instead of made for every frame")

    def apply(self, model: DualAR) -> DualAR:
        """Binds the weights of `model` in place."""
        return CpuGraphDualAR.of(model)


def _has_bias(block: nn.Module) -> bool:
    return any(layer.bias is not None for layer in block.modules() if isinstance(layer, nn.Linear))
