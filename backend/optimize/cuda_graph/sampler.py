"""Sampling of a frame as a CUDA graph: the fast stack and all noise over fixed memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.lm.base import SamplerState
from backend.lm.counter_rng import noise_keys
from backend.lm.sampling import FrameSampling, RowLimits
from backend.lm.sampling_options import REPETITION_FRAMES, SamplingOptions
from backend.lm.spec import ModelFamily, StepOutput
from backend.lm.text_pointer import ADVANCE
from backend.optimize.cuda_graph.capture import CapturedGraph, PinnedInput

if TYPE_CHECKING:
    from backend.lm.dual_ar import DualAR
    from backend.lm.kv_cache import FrameCache

# Integer fields: the rows of the state, their seeds, their frame numbers.
ROWS, SEED, FRAME = range(3)
# Option fields: four limits of the codes, four of the pointer, the penalty, two booleans.
N_LIMITS, PENALTY, RAS, HAS_POINTER, N_OPTIONS = 4, 8, 9, 10, 11


class SamplerKind(NamedTuple):
    """The sampling features that any row uses; unused ones are not computed."""

    n_moves: int  # classes of the pointer's head; 0: none
    has_pointers: bool
    has_penalty: bool
    has_ras: bool
    is_greedy: bool  # true if all rows are

    @classmethod
    def of(cls, out: StepOutput, samplers: Sequence[SamplerState], family: ModelFamily) -> SamplerKind:
        options = [sampler.options for sampler in samplers]
        return cls(
            out.aux[ADVANCE].shape[1] if ADVANCE in out.aux else 0,
            any(sampler.pointer is not None for sampler in samplers),
            any(o.repetition_penalty != 1 for o in options),
            any(o.uses_ras(family) and not o.is_greedy for o in options),
            all(o.is_greedy for o in options),
        )


class SampledFrames(NamedTuple):
    """Frames [B, R], each row's last frames including them [B, 16, R], and the pointer moves [B]."""

    frames: Tensor
    recent: Tensor
    moves: Tensor | None


class CudaGraphSampler(CapturedGraph[SampledFrames]):
    """Samples up to `n_rows` rows; unused places repeat earlier inputs, and their output is discarded."""

    def __init__(self, lm: DualAR, cache: FrameCache, n_rows: int, kind: SamplerKind):
        spec, device = lm.spec, lm.device
        # Holding the model keeps its id valid, which is part of the key of this graph.
        self.lm, self.cache, self.kind = lm, cache, kind
        self.logits = torch.zeros(n_rows, spec.n_legal, device=device)
        self.hidden = torch.zeros(n_rows, spec.dim, dtype=lm.dtype, device=device)
        self.move_logits = torch.zeros(n_rows, kind.n_moves, device=device)
        self.recent = torch.zeros(n_rows, REPETITION_FRAMES, spec.n_rows, dtype=torch.long, device=device)
        self.row_inputs = PinnedInput(3, n_rows, torch.long, device)
        self.options = PinnedInput(N_OPTIONS, n_rows, torch.float32, device)
        self.streams = torch.arange(spec.n_codebooks + 2, device=device)
        self._loaded: list[tuple[SamplingOptions, bool]] = []
        # Any valid value.
        self.options.values[:] = 1
        self.options.send()

    def load(self, out: StepOutput, samplers: Sequence[SamplerState], recent: Tensor, rows: list[int]) -> None:
        """Writes the inputs of the next run: `out` of `rows`, of a state whose last frames are `recent` [B, 16, R]."""
        n, row_inputs = len(rows), self.row_inputs
        row_inputs.wait()
        row_inputs.values[ROWS, :n] = rows
        row_inputs.values[SEED, :n] = [sampler.noise_seed for sampler in samplers]
        row_inputs.values[FRAME, :n] = [sampler.frame for sampler in samplers]
        row_inputs.send()
        self._load_options([(sampler.options, sampler.pointer is not None) for sampler in samplers])
        self.logits[:n].copy_(out.logits)
        self.hidden[:n].copy_(out.hidden)
        if self.kind.n_moves:
            self.move_logits[:n].copy_(out.aux[ADVANCE])
        torch.index_select(recent, 0, row_inputs.tensor[ROWS], out=self.recent)

    def _load_options(self, row_options: list[tuple[SamplingOptions, bool]]) -> None:
        """Sends options only when they change, which is rare between frames."""
        if row_options == self._loaded:
            return
        self._loaded, options, family = row_options, self.options, self.lm.spec.family
        options.wait()
        fields = [
            (*o.limits, *o.pointer.limits, o.repetition_penalty, o.uses_ras(family) and not o.is_greedy, has_pointer)
            for o, has_pointer in row_options
        ]
        options.values[:, : len(fields)] = np.array(fields, np.float32).T
        options.send()

    def run(self, recent: Tensor, n_rows: int) -> tuple[Tensor, Tensor | None]:
        """Returns the frames [n, R] of the first rows and their pointer moves [n]; updates `recent`."""
        out = self.replay()
        recent.index_copy_(0, self.row_inputs.tensor[ROWS, :n_rows], out.recent[:n_rows])
        return out.frames[:n_rows].clone(), None if out.moves is None else out.moves[:n_rows]

    def compute(self) -> SampledFrames:
        sampling = TensorSampler(self)
        frames = self.lm.sample_frame(StepOutput(self.logits, self.hidden, {}), sampling, self.cache)
        recent = torch.cat((self.recent[:, 1:], frames[:, None]), dim=1)
        return SampledFrames(
            frames, recent, sampling.moves(self.move_logits, sampling.pointer_limits) if self.kind.n_moves else None
        )


class TensorSampler(FrameSampling):
    """`FrameSampling` from tensors only."""

    def __init__(self, graph: CudaGraphSampler):
        row_inputs, kind = graph.row_inputs.tensor, graph.kind
        fields = graph.options.tensor[:, :, None]
        self.limits = RowLimits(*fields[:N_LIMITS], is_greedy=kind.is_greedy)
        self.pointer_limits = RowLimits(*fields[N_LIMITS : 2 * N_LIMITS], is_greedy=False)
        self.recent, self.n_codebooks = graph.recent, graph.lm.spec.n_codebooks
        self.keys = noise_keys(row_inputs[SEED], row_inputs[FRAME], graph.streams)
        self.penalty = fields[PENALTY] if kind.has_penalty else None
        self.ras = graph.options.tensor[RAS] > 0 if kind.has_ras else None
        self.has_pointer = graph.options.tensor[HAS_POINTER] > 0 if kind.has_pointers else None
