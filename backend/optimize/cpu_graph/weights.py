"""Weights of a `DualAR` as `cpu_graph` calls read them: matrices, rotations and embedding tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from backend.lm.dual_ar import DualAR
from backend.lm.spec import LMSpec, StepOutput
from backend.nn.norms import RMSNorm
from backend.nn.rope import rope_table
from backend.optimize.cpu_graph.block import BlockMatrices
from backend.optimize.cpu_graph.matmul import CpuGraphMatrix, NormedMatrix, cpu_graph_matrix

# Larger embedding tables stay separate.
MAX_TABLE_WEIGHTS = 64_000_000


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """All embedding tables in one, for a single lookup. `offsets` [R + n_side]: the first entry of each column's."""

    entries: np.ndarray  # [n, D]
    offsets: np.ndarray
    code_scale: float
    n_code_columns: int  # R


@dataclass(frozen=True, slots=True)
class SlowWeights:
    """The slow stack. `table` None: the model's own modules embed."""

    blocks: list[BlockMatrices]
    rotations: np.ndarray  # [n_positions, d / 2], complex
    head_scales: np.ndarray  # [H + H_kv, 1]
    table: EmbeddingTable | None
    norm: RMSNorm
    heads: list[nn.Linear]
    head_matrices: list[CpuGraphMatrix]
    aux_names: list[str]
    has_normed_fast_input: bool

    @classmethod
    def of(cls, lm: DualAR) -> SlowWeights:
        """Binds the weights of `lm` in its serving form; embedding tables become views of one table."""
        blocks = [BlockMatrices(block) for block in lm.layers]
        heads = [lm.head, *lm.aux_heads.values()]
        return cls(
            blocks, *rotations(lm.spec.max_frames, lm.config.rope_base, blocks[0]), _join_tables(lm), lm.norm, heads,
            [cpu_graph_matrix(head) for head in heads], list(lm.aux_heads), lm.config.norm_fastlayer_input,
        )  # fmt: skip

    def step_output(self, x: Tensor, normed: Tensor, products: Sequence[Tensor]) -> StepOutput:
        """Returns new tensors from each head's product [B, n_out] and the states before and after the norm."""
        logits, *aux = (
            product.clone() if head.bias is None else product + head.bias
            for head, product in zip(self.heads, products, strict=True)
        )
        hidden = normed if self.has_normed_fast_input else x
        return StepOutput(logits, hidden.clone(), dict(zip(self.aux_names, aux, strict=True)))


@dataclass(frozen=True, slots=True)
class FastWeights:
    """The fast stack. `tables` and `heads` hold one entry per codebook after the first."""

    spec: LMSpec
    end_code: int
    blocks: list[BlockMatrices]
    rotations: np.ndarray  # [K, H + H_kv, d / 2], complex, queries scaled
    tables: list[np.ndarray]  # [codebook_size, D_fast]: embeddings of the previous codebook
    heads: list[NormedMatrix]
    project_in: nn.Module

    @classmethod
    def of(cls, lm: DualAR) -> FastWeights:
        spec, config = lm.spec, lm.config
        blocks = [BlockMatrices(block) for block in lm.fast_layers]
        waves, scales = rotations(spec.n_codebooks, config.rope_base, blocks[0])
        n_passes = spec.n_codebooks - 1
        table = lm.fast_embeddings.weight.detach().float().numpy()
        if config.has_own_fast_tables:
            outputs, tables = list(lm.fast_output), list(table.reshape(n_passes, config.codebook_size, -1))
        else:
            outputs, tables = [lm.fast_output], [table] * n_passes
        heads = [NormedMatrix(lm.fast_norm, cpu_graph_matrix(output)) for output in outputs]
        return cls(
            spec, lm.end_code, blocks, waves[:, None] * scales, tables,
            heads if config.has_own_fast_tables else heads * n_passes, lm.fast_project_in,
        )  # fmt: skip


def rotations(n_positions: int, rope_base: float, block: BlockMatrices) -> tuple[np.ndarray, np.ndarray]:
    """Returns complex rotations [n_positions, d / 2] and head scales [H + H_kv, 1]: 1 / sqrt(d) for queries."""
    cos, sin = rope_table(torch.arange(n_positions)[None], block.head_dim, rope_base)
    scales = np.ones((block.n_heads + block.n_kv_heads, 1), np.float32)
    scales[: block.n_heads] = block.head_dim**-0.5
    return torch.complex(cos, sin)[0, :, 0].numpy(), scales


def has_half_precision(modules: Sequence[nn.Module]) -> bool:
    return any(parameter.dtype != torch.float32 for module in modules for parameter in module.parameters())


def _join_tables(lm: DualAR) -> EmbeddingTable | None:
    spec, config = lm.spec, lm.config
    tables = [lm.embeddings, lm.codebook_embeddings, *lm.side_embeddings]
    if sum(table.weight.numel() for table in tables) > MAX_TABLE_WEIGHTS or has_half_precision(tables):
        return None
    joined = torch.cat([table.weight.detach() for table in tables])
    starts = [0, *accumulate(table.num_embeddings for table in tables)]
    for table, start in zip(tables, starts, strict=False):
        table.weight = nn.Parameter(joined[start : start + table.num_embeddings], requires_grad=False)
    codes = [starts[1] + k * config.codebook_size for k in range(spec.n_codebooks)]
    code_scale = 1 / math.sqrt(spec.n_codebooks + 1) if config.scale_codebook_embeddings else 1.0
    offsets = np.array([0, *codes, *starts[2 : 2 + spec.n_side]])
    return EmbeddingTable(joined.numpy(), offsets, code_scale, 1 + spec.n_codebooks)
