"""The fast stack's passes of a frame for a few rows, with samples in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from backend.lm.base import SamplerState
from backend.lm.spec import StepOutput
from backend.lm.text_pointer import ADVANCE
from backend.optimize.cpu_graph.sampler import CpuGraphSampler
from backend.optimize.cpu_kernel.layout import MAX_ROWS

if TYPE_CHECKING:
    from backend.optimize.cpu_kernel.model import KernelWeights

# The first pass of a frame runs two positions.
MAX_FRAME_ROWS = MAX_ROWS // 2


class KernelFrame:
    """Buffers of up to `MAX_FRAME_ROWS` rows."""

    def __init__(self, weights: KernelWeights, B: int):
        spec, fast = weights.spec, weights.fast
        self.weights, self.B = weights, B
        self.buffers = fast.buffers(2 * B)
        shape = (len(fast.layers), B, fast.n_kv_heads, spec.n_codebooks, fast.head_dim)
        self.keys, self.values = torch.zeros(2, *shape)
        self.sampler = CpuGraphSampler(B, spec.n_codebooks, max(spec.n_legal, spec.n_residual), spec.family)

    def frames(self, out: StepOutput, samplers: Sequence[SamplerState], recent: np.ndarray) -> np.ndarray:
        """Samples the next frames [B, R]; `recent` [B, W, R] are the previous ones."""
        weights, spec, sampler, B, buffers = self.weights, self.weights.spec, self.sampler, self.B, self.buffers
        sampler.start(samplers, recent)
        index = sampler.main(out.logits.numpy().copy(), spec.semantic_begin_id)
        is_end = index == spec.n_semantic
        frames = np.empty((B, spec.n_rows), np.int64)
        frames[:, 0] = np.where(is_end, spec.end_id, index + spec.semantic_begin_id)
        frames[:, 1] = codes = np.where(is_end, weights.end_code, np.minimum(index, spec.codebook_size - 1))
        slots, dim = list(range(B)), weights.tables[0].shape[1]
        if spec.n_codebooks > 1:
            buffers.x[:B, :dim] = weights.fast_inputs(out.hidden)
        for k in range(1, spec.n_codebooks):
            # The first pass runs positions 0 and 1 together: the weights are read once.
            first = B if k == 1 else 0
            buffers.x[first : first + B, :dim] = weights.tables[k - 1][codes]
            positions = [0] * first + [k] * B
            weights.fast.run(
                buffers, first + B, slots * (1 + (k == 1)), positions, self.keys, self.values,
                weights.fast.heads[min(k, len(weights.fast.heads)) - 1], B,
            )  # fmt: skip
            codes = sampler.code(buffers.logits[:B, : spec.n_residual].copy(), k)
            frames[:, k + 1] = codes
        if ADVANCE in out.aux:
            sampler.advance(out.aux[ADVANCE].numpy(), samplers)
        return frames
