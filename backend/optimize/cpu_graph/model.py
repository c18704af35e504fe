"""A `DualAR` on a processor whose frames are calls bound once to buffers that never move: small, or quantized."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor, nn

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR, DualARState
from backend.lm.spec import StepOutput
from backend.nn.rope import rope_table
from backend.optimize.base import Support
from backend.optimize.cpu_graph.block import BlockMatrices
from backend.optimize.cpu_graph.matmul import NormedMatrix, cpu_graph_matrix
from backend.optimize.cpu_graph.step import CpuGraphFrame, CpuGraphStep
from backend.optimize.lowbit.fused_block import FusedBlock

# Larger float32 models spend their time in products, and a second copy of their weights would not be small.
MAX_WEIGHTS = 64_000_000
# Of a float32 model, buffers are kept for every number of rows up to here; above it products are what takes the time.
MAX_ROWS = 16
MAX_FRAME_TAPES = 32


@dataclass(slots=True)
class CpuGraphState(DualARState):
    """With the buffers of each number of rows that was asked for."""

    steps: dict[int, CpuGraphStep] = field(default_factory=dict)
    # By who draws and the number of rows.
    frames: LRUCache[tuple[int, int], CpuGraphFrame] = field(default_factory=lambda: LRUCache(MAX_FRAME_TAPES))


class CpuGraphDualAR(DualAR):
    """The model it is made from, with its weights; only `step` and `sample` run otherwise."""

    @classmethod
    def of(cls, lm: DualAR) -> CpuGraphDualAR:
        taped = cls.__new__(cls)
        taped.__dict__ = lm.__dict__
        if taped.head is None:
            taped.narrow_head()
        # Quantized rows are rounded alike however many speak, so all of them are spoken here.
        taped.max_rows = sys.maxsize if isinstance(taped.layers[0], FusedBlock) else MAX_ROWS
        taped._bind_slow()
        taped._bind_fast()
        return taped

    def _bind_slow(self) -> None:
        spec, config = self.spec, self.config
        self.slow_matrices = [BlockMatrices(block) for block in self.layers]
        self.slow_turns, self.slow_scales = turns(spec.max_frames, config.rope_base, self.slow_matrices[0])
        tables = [self.embeddings, self.codebook_embeddings, *self.side_embeddings]
        self.table: np.ndarray | None = None
        if sum(table.weight.numel() for table in tables) <= MAX_WEIGHTS and not _halves(tables):
            # One table of everything a position is told, so that it is looked up at once.
            whole = torch.cat([table.weight.detach() for table in tables])
            starts = [0, *accumulate(table.num_embeddings for table in tables)]
            for table, start in zip(tables, starts, strict=False):
                table.weight = nn.Parameter(whole[start : start + table.num_embeddings], requires_grad=False)
            self.table = whole.numpy()
            codes = [starts[1] + k * config.codebook_size for k in range(spec.n_codebooks)]
            self.offsets = np.array([0, *codes, *starts[2 : 2 + spec.n_side]])
            self.code_scale = 1 / math.sqrt(spec.n_codebooks + 1) if config.scale_codebook_embeddings else 1.0
        self.said_heads = [self.head, *self.aux_heads.values()]
        self.said_matrices = [cpu_graph_matrix(head) for head in self.said_heads]

    def _bind_fast(self) -> None:
        spec, config = self.spec, self.config
        self.fast_matrices = [BlockMatrices(block) for block in self.fast_layers]
        each, scales = turns(spec.n_codebooks, config.rope_base, self.fast_matrices[0])
        self.fast_turns = each[:, None] * scales
        n_passes = spec.n_codebooks - 1
        table = self.fast_embeddings.weight.detach().float().numpy()
        if config.has_own_fast_tables:
            outputs, self.fast_tables = list(self.fast_output), list(table.reshape(n_passes, config.codebook_size, -1))
        else:
            outputs, self.fast_tables = [self.fast_output], [table] * n_passes
        heads = [NormedMatrix(self.fast_norm, cpu_graph_matrix(output)) for output in outputs]
        self.fast_heads = heads if config.has_own_fast_tables else heads * n_passes

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        state = super().init_state(batch, max_frames, kv_dtype)
        if kv_dtype not in (None, torch.float32):
            return state
        return CpuGraphState(state.slow, state.fast, state.recent, state.conditioning)

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        if not isinstance(state, CpuGraphState) or len(rows) > self.max_rows or not self._is_usual(frames, side):
            return super().step(frames, state, rows, side)
        tape = state.steps.get(len(rows))
        if tape is None:
            tape = state.steps[len(rows)] = CpuGraphStep(self, len(rows))
        return tape.step(frames, side, state, list(rows))

    def _is_usual(self, frames: Tensor, side: Tensor | None) -> bool:
        """Sound, with all there is to know of it: ends and rows without their side ids are embedded otherwise."""
        main, spec = frames.numpy()[:, 0], self.spec
        is_sound = spec.semantic_begin_id <= main.min() and main.max() <= spec.semantic_end_id
        return bool(is_sound) and (side is not None or not spec.n_side)

    def say(self, x: Tensor, normed: Tensor, said: Sequence[Tensor]) -> StepOutput:
        """What `said` [B, outputs] of each head comes to, in tensors of its own."""
        logits, *aux = (
            out.clone() if head.bias is None else out + head.bias
            for head, out in zip(self.said_heads, said, strict=True)
        )
        return StepOutput(logits, self.handed_on(x, normed).clone(), dict(zip(self.aux_heads, aux, strict=True)))

    def keep_fast_only(self) -> None:
        super().keep_fast_only()
        self.slow_matrices, self.said_heads, self.said_matrices, self.table = [], [], [], None

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        if not isinstance(state, CpuGraphState) or len(rows) > self.max_rows:
            return super().sample_frames(out, samplers, state, rows)
        key = (id(self), len(rows))
        tape = state.frames.get(key)
        if tape is None:
            tape = state.frames[key] = CpuGraphFrame(self, len(rows))
        recent, row_list = state.recent.numpy(), list(rows)
        window = recent[row_list]
        frames = tape.frames(out, samplers, window)
        window[:, :-1], window[:, -1] = window[:, 1:], frames
        recent[row_list] = window
        for sampler in samplers:
            sampler.frame += 1
        return torch.from_numpy(frames)


def turns(n_positions: int, rope_base: float, block: BlockMatrices) -> tuple[np.ndarray, np.ndarray]:
    """Complex turns [n_positions, d / 2] of heads, and scales [H + H_kv, 1]: attention divides queries by the root of d."""
    cos, sin = rope_table(torch.arange(n_positions)[None], block.head_dim, rope_base)
    scales = np.ones((block.n_heads + block.n_kv_heads, 1), np.float32)
    scales[: block.n_heads] = block.head_dim**-0.5
    return torch.complex(cos, sin)[0, :, 0].numpy(), scales


@dataclass(frozen=True, slots=True)
class CpuGraph:
    """Exact up to the order of float sums; the same noise decides."""

    name: str = "cpu_graph"
    is_exact: bool = True
    tolerance: float = 1e-4

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"records DualAR only, not {type(model).__name__}")
        if device.type != "cpu":
            return Support(False, f"binds memory of a processor; this is {device.type}")
        if isinstance(model, CpuGraphDualAR):
            return Support(False, "its calls are bound already")
        stacks = [block for stack in (model.layers, model.fast_layers) for block in stack]
        if all(isinstance(block, FusedBlock) for block in stacks):
            return Support(True, "calls bound once around quantized products")
        if any(block.attention.has_qk_norm or _has_bias(block) for block in stacks):
            return Support(False, "its attention has norms or biases, which the bound calls leave out")
        if _halves([model]):
            return Support(False, "not all its weights are float32")
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        if n_weights > MAX_WEIGHTS:
            return Support(False, f"with {n_weights / 1e6:.0f} M weights, calls are not what its frames wait for")
        return Support(True, "calls bound once instead of made for every frame")

    def apply(self, model: DualAR) -> DualAR:
        """Bind the weights of `model`, in place."""
        return CpuGraphDualAR.of(model)


def _halves(modules: Sequence[nn.Module]) -> bool:
    """Whether some of their weights are not float32."""
    return any(parameter.dtype != torch.float32 for module in modules for parameter in module.parameters())


def _has_bias(block: nn.Module) -> bool:
    return any(layer.bias is not None for layer in block.modules() if isinstance(layer, nn.Linear))
