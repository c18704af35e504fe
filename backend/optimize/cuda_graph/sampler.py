"""A frame drawn for a number of rows, with the fast stack and all of its noise, over memory that never moves."""

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

# Lines of whole numbers: the rows of the state, their seeds, how many frames each has drawn.
ROWS, SEED, NUMBER = range(3)
# Lines of options: four limits of the codes, four of the pointer, the penalty, and two yes or no.
N_LIMITS, PENALTY, RAS, HAS_POINTER, N_OPTIONS = 4, 8, 9, 10, 11


class SamplerKind(NamedTuple):
    """What some row of a draw wants; what none wants is not computed."""

    n_moves: int  # classes of the pointer's head; 0: there is none
    has_pointers: bool
    has_penalty: bool
    has_ras: bool
    is_greedy: bool  # all rows are

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
    """Frames [B, R], the last frames of each row with them [B, 16, R], and by how much the pointers move [B]."""

    frames: Tensor
    recent: Tensor
    moves: Tensor | None


class CudaGraphSampler(CapturedGraph[SampledFrames]):
    """Up to `n_rows` rows side by side; places without a row draw on for whoever stood there last, unheard."""

    def __init__(self, lm: DualAR, cache: FrameCache, n_rows: int, kind: SamplerKind):
        spec, device = lm.spec, lm.device
        # Holding the model keeps its place in memory, by which a state tells whose recording this is.
        self.lm, self.cache, self.kind = lm, cache, kind
        self.logits = torch.zeros(n_rows, spec.n_legal, device=device)
        self.hidden = torch.zeros(n_rows, spec.dim, dtype=lm.dtype, device=device)
        self.move_logits = torch.zeros(n_rows, kind.n_moves, device=device)
        self.recent = torch.zeros(n_rows, REPETITION_FRAMES, spec.n_rows, dtype=torch.long, device=device)
        self.places = PinnedInput(3, n_rows, torch.long, device)
        self.options = PinnedInput(N_OPTIONS, n_rows, torch.float32, device)
        self.streams = torch.arange(spec.n_codebooks + 2, device=device)
        self._wishes: list[tuple[SamplingOptions, bool]] = []
        # Of any value that can be drawn with.
        self.options.values[:] = 1
        self.options.send()

    def load(self, out: StepOutput, samplers: Sequence[SamplerState], recent: Tensor, rows: list[int]) -> None:
        """What the next run draws from: `out` of `rows`, of a state whose last frames are `recent` [B, 16, R]."""
        n, places = len(rows), self.places
        places.open()
        places.values[ROWS, :n] = rows
        places.values[SEED, :n] = [sampler.noise_seed for sampler in samplers]
        places.values[NUMBER, :n] = [sampler.frame for sampler in samplers]
        places.send()
        self._load_options([(sampler.options, sampler.pointer is not None) for sampler in samplers])
        self.logits[:n].copy_(out.logits)
        self.hidden[:n].copy_(out.hidden)
        if self.kind.n_moves:
            self.move_logits[:n].copy_(out.aux[ADVANCE])
        torch.index_select(recent, 0, places.tensor[ROWS], out=self.recent)

    def _load_options(self, wishes: list[tuple[SamplingOptions, bool]]) -> None:
        """They rarely change from one frame to the next, and are sent when they do."""
        if wishes == self._wishes:
            return
        self._wishes, options, family = wishes, self.options, self.lm.spec.family
        options.open()
        lines = [
            (*o.limits, *o.pointer.limits, o.repetition_penalty, o.uses_ras(family) and not o.is_greedy, has_pointer)
            for o, has_pointer in wishes
        ]
        options.values[:, : len(lines)] = np.array(lines, np.float32).T
        options.send()

    def run(self, recent: Tensor, n_rows: int) -> tuple[Tensor, Tensor | None]:
        """The frames [n, R] of the first rows and by how much their pointers move [n]; `recent` is brought up to date."""
        out = self.replay()
        recent.index_copy_(0, self.places.tensor[ROWS, :n_rows], out.recent[:n_rows])
        return out.frames[:n_rows].clone(), None if out.moves is None else out.moves[:n_rows]

    def compute(self) -> SampledFrames:
        drawn = TensorSampler(self)
        frames = self.lm.sample_frame(StepOutput(self.logits, self.hidden, {}), drawn, self.cache)
        recent = torch.cat((self.recent[:, 1:], frames[:, None]), dim=1)
        return SampledFrames(
            frames, recent, drawn.moves(self.move_logits, drawn.pointer_limits) if self.kind.n_moves else None
        )


class TensorSampler(FrameSampling):
    """The decisions of a frame from tensors alone."""

    def __init__(self, graph: CudaGraphSampler):
        places, kind = graph.places.tensor, graph.kind
        lines = graph.options.tensor[:, :, None]
        self.limits = RowLimits(*lines[:N_LIMITS], is_greedy=kind.is_greedy)
        self.pointer_limits = RowLimits(*lines[N_LIMITS : 2 * N_LIMITS], is_greedy=False)
        self.recent, self.n_codebooks = graph.recent, graph.lm.spec.n_codebooks
        self.keys = noise_keys(places[SEED], places[NUMBER], graph.streams)
        self.penalty = lines[PENALTY] if kind.has_penalty else None
        self.ras = graph.options.tensor[RAS] > 0 if kind.has_ras else None
        self.is_endless = graph.options.tensor[HAS_POINTER] > 0 if kind.has_pointers else None
