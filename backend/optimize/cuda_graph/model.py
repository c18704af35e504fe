"""A `DualAR` on a card whose steps and draws are recorded once and then replayed, each by one launch.

Recordings are made when they are first needed, by the thread that owns the model, for numbers of rows and lengths of
past that are powers of two. Each is compared with what it stands for before it is used; where one cannot be made or
differs, the model goes on as it is without them. The same code runs without recording on any device, which is how it
is tested; recorded it has not been run on a card yet, nor measured.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from cachetools import LRUCache
from torch import Tensor, nn

from backend.lm.base import SamplerState
from backend.lm.blocks import DualARBlock
from backend.lm.dual_ar import DualAR, DualARState
from backend.lm.kv_cache import SlotCache
from backend.lm.sampling import move_pointers
from backend.lm.spec import StepOutput
from backend.optimize.base import Support
from backend.optimize.cuda_graph.capture import Capture, bucket_of, capture_for, distance
from backend.optimize.cuda_graph.sampler import CudaGraphSampler, SamplerKind
from backend.optimize.cuda_graph.step import CudaGraphStep

log = logging.getLogger(__name__)
# Of each kind; the least recently used one makes room.
MAX_RECORDINGS = 32
LEAST_CAPACITY = 256
# Memory that grows moves, and takes its recordings with it: so much is taken at once, where that is not too much.
FIRST_FRAMES, FIRST_BYTES = 1024, 1 << 30
# How far logits may be from those of a plain step, as 1 less their cosine: rounding stays well below, a recording that
# reads the wrong memory well above.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(slots=True)
class CudaGraphState(DualARState):
    """With the recordings that read and write it."""

    capture: Capture
    recorded: Tensor | None = None  # the keys that steps were recorded over
    # By numbers of slots, length of past, and whether there are side ids.
    steps: LRUCache[tuple[int, int, bool], CudaGraphStep] = field(default_factory=lambda: LRUCache(MAX_RECORDINGS))
    # By who draws, the number of rows and what they want.
    draws: LRUCache[tuple[int, int, SamplerKind], CudaGraphSampler] = field(
        default_factory=lambda: LRUCache(MAX_RECORDINGS)
    )

    def forget_recordings(self) -> None:
        self.steps.clear()
        self.draws.clear()


class CudaGraphDualAR(DualAR):
    """The model it is made from, with its weights; only `step` and `draw` run otherwise.

    `given_up` says why they do not any more.
    """

    capture: Capture
    given_up: str | None

    @classmethod
    def of(cls, lm: DualAR, capture: Capture | None = None) -> CudaGraphDualAR:
        graphed = cls.__new__(cls)
        graphed.__dict__ = lm.__dict__
        if graphed.head is None:
            graphed.narrow_head()
        graphed.capture, graphed.given_up = capture or capture_for(lm.device), None
        return graphed

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        state = super().init_state(batch, max_frames, kv_dtype)
        most, keys = state.slow.max_frames, state.slow.keys
        slow = SlotCache(self.config.slow, batch, most, keys.dtype, self.device, n_spare=1)
        frame_bytes = 2 * slow.keys[:, :, :, :1].numel() * keys.element_size()
        slow.reserve(min(FIRST_FRAMES, most, max(FIRST_BYTES // frame_bytes, LEAST_CAPACITY)))
        return CudaGraphState(slow, state.fast, state.recent, state.conditioning, self.capture)

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        if self.given_up is not None or not isinstance(state, CudaGraphState):
            return super().step(frames, state, rows, side)
        slow, row_list = state.slow, list(rows)
        longest = 1 + max(slow.lengths[row] for row in row_list)
        slow.reserve(longest)
        key = (
            bucket_of(1 + max(row_list), len(slow.lengths)), bucket_of(longest, slow.capacity, LEAST_CAPACITY),
            side is not None,
        )  # fmt: skip
        if state.recorded is not slow.keys:
            # The memory grew, and moved.
            state.steps.clear()
            state.recorded = slow.keys
        graph = state.steps.get(key)
        if graph is None:
            graph = self._recorded_step(CudaGraphStep(self, state, *key), frames, state, row_list, side)
            if graph is None:
                state.forget_recordings()
                return super().step(frames, state, rows, side)
            state.steps[key] = graph
        graph.load(frames, slow.lengths, row_list, side)
        out = graph.run(row_list)
        for row in row_list:
            slow.lengths[row] += 1
        return out

    def _recorded_step(
        self, graph: CudaGraphStep, frames: Tensor, state: CudaGraphState, rows: list[int], side: Tensor | None
    ) -> CudaGraphStep | None:
        """The recording of a step, if it says what the plain one says; None if there are to be none."""
        if not self._record(graph, state.capture):
            return None
        lengths = state.slow.lengths
        wanted = super().step(frames, state, rows, side)
        for row in rows:
            lengths[row] -= 1
        graph.load(frames, lengths, rows, side)
        found = graph.run(rows)
        pairs = [(wanted.logits, found.logits), (wanted.hidden, found.hidden)]
        pairs += [(wanted.aux[name], found.aux[name]) for name in wanted.aux]
        tolerance = TOLERANCES[self.dtype]
        # Written so that what is not a number is far.
        if far := [d for d in (distance(*pair) for pair in pairs) if not d <= tolerance]:
            self._give_up(f"a recorded step of {graph.n_slots} rows was {far[0]:.2g} from the plain one")
            return None
        return graph

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        if self.given_up is not None or not isinstance(state, CudaGraphState):
            return super().sample_frames(out, samplers, state, rows)
        row_list = list(rows)
        kind = SamplerKind.of(out, samplers, self.spec.family)
        key = (id(self), bucket_of(len(row_list), len(state.recent)), kind)
        graph = state.draws.get(key)
        if graph is None:
            graph = CudaGraphSampler(self, state.fast, *key[1:])
            if not self._record(graph, state.capture) or not self._samples_match(graph, out, samplers, state, row_list):
                state.forget_recordings()
                return super().sample_frames(out, samplers, state, rows)
            state.draws[key] = graph
        graph.load(out, samplers, state.recent, row_list)
        frames, moves = graph.run(state.recent, len(row_list))
        for sampler in samplers:
            sampler.frame += 1
        if kind.has_pointers and moves is not None:
            move_pointers(samplers, moves.tolist())
        return frames

    def _samples_match(
        self,
        graph: CudaGraphSampler,
        out: StepOutput,
        samplers: Sequence[SamplerState],
        state: DualARState,
        rows: list[int],
    ) -> bool:
        """Whether the recording draws what is drawn without it, from the same memory by the same kernels."""
        graph.load(out, samplers, state.recent, rows)
        pairs = zip(graph.compute(), graph.replay(), strict=True)
        if not all(wanted is None or torch.equal(wanted, found) for wanted, found in pairs):
            self._give_up(f"a recorded draw of {len(graph.logits)} rows drew other codes than an unrecorded one")
            return False
        return True

    def _record(self, graph: CudaGraphStep | CudaGraphSampler, capture: Capture) -> bool:
        try:
            graph.record(capture)
        except RuntimeError as error:
            self._give_up(f"recording failed ({type(error).__name__}: {str(error).partition(chr(10))[0]})")
            return False
        return True

    def _give_up(self, reason: str) -> None:
        self.given_up = reason
        log.warning("CUDA graphs are not used for '%s' from now on: %s.", self.spec.name, reason)


@dataclass(frozen=True, slots=True)
class CudaGraph:
    """Exact up to the order of float sums: attention reads masked places too."""

    name: str = "cuda_graph"
    is_exact: bool = True
    tolerance: float = 1e-4

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"records DualAR only, not {type(model).__name__}")
        if device.type != "cuda":
            return Support(False, f"graphs exist on CUDA cards; this is {device.type}")
        if type(model) is not DualAR:
            return Support(False, "its steps run in another way already")
        if not all(type(block) is DualARBlock for stack in (model.layers, model.fast_layers) for block in stack):
            return Support(False, "its layers are not the plain ones")
        # Conservative: what quantized and compiled layers do at a call is their own affair, and may wait for the host.
        if any(type(layer) is not nn.Linear for layer in model.modules() if isinstance(layer, nn.Linear)):
            return Support(False, "its matrices are quantized, and may wait for the host")
        if any(module._compiled_call_impl is not None for module in model.modules()):
            return Support(False, "its layers are compiled, and may wait for the host")
        return Support(True, "a launch a step and a launch a draw; not yet measured on a card")

    def apply(self, model: DualAR) -> DualAR:
        """Record the steps and draws of `model` when they come."""
        return CudaGraphDualAR.of(model)
