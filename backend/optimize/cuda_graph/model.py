"""A `DualAR` on a GPU whose steps and samplers run as CUDA graphs, one launch each.

Graphs are captured on first use, on the thread that owns the model, for batch sizes and past lengths that are powers of
two. Each graph's output is compared with the plain model's before use; if a capture fails or differs, the model runs
without graphs. Tests run the same code uncaptured on CPU; captured, it has neither run on a GPU nor been measured yet.
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
from backend.optimize.cuda_graph.capture import Capture, bucket_of, capture_for, cosine_distance
from backend.optimize.cuda_graph.sampler import CudaGraphSampler, SamplerKind
from backend.optimize.cuda_graph.step import CudaGraphStep

log = logging.getLogger(__name__)
# Of each kind; the least recently used graph is evicted.
MAX_GRAPHS = 32
MIN_CAPACITY = 256
# Growing the cache moves it and invalidates its graphs, so this many frames are allocated at once, up to this size.
FIRST_FRAMES, FIRST_BYTES = 1024, 1 << 30
# Largest distance (1 - cosine similarity) from a plain step's logits: well above rounding, well below the effect of
# reading wrong memory.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(slots=True)
class CudaGraphState(DualARState):
    """A `DualARState` with the graphs that read and write it."""

    capture: Capture
    captured_keys: Tensor | None = None  # the key cache that the step graphs use
    # By number of slots, past length, and whether there are side ids.
    step_graphs: LRUCache[tuple[int, int, bool], CudaGraphStep] = field(default_factory=lambda: LRUCache(MAX_GRAPHS))
    # By id of the sampling model, number of rows and sampler kind.
    sampler_graphs: LRUCache[tuple[int, int, SamplerKind], CudaGraphSampler] = field(
        default_factory=lambda: LRUCache(MAX_GRAPHS)
    )

    def clear_graphs(self) -> None:
        self.step_graphs.clear()
        self.sampler_graphs.clear()


class CudaGraphDualAR(DualAR):
    """A `DualAR` whose `step` and `sample_frames` run as CUDA graphs.

    `disabled_reason` is the reason graphs were disabled, or None.
    """

    capture: Capture
    disabled_reason: str | None

    @classmethod
    def of(cls, lm: DualAR, capture: Capture | None = None) -> CudaGraphDualAR:
        """Converts `lm` in place."""
        if lm.head is None:
            lm.narrow_head()
        lm.__class__ = cls
        assert isinstance(lm, cls)
        lm.capture, lm.disabled_reason = capture or capture_for(lm.device), None
        return lm

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        state = super().init_state(batch, max_frames, kv_dtype)
        most, keys = state.slow.max_frames, state.slow.keys
        slow = SlotCache(self.config.slow, batch, most, keys.dtype, self.device, n_spare=1)
        frame_bytes = 2 * slow.keys[:, :, :, :1].numel() * keys.element_size()
        slow.reserve(min(FIRST_FRAMES, most, max(FIRST_BYTES // frame_bytes, MIN_CAPACITY)))
        return CudaGraphState(slow, state.fast, state.recent, state.conditioning, self.capture)

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        if self.disabled_reason is not None or not isinstance(state, CudaGraphState):
            return super().step(frames, state, rows, side)
        slow, row_list = state.slow, list(rows)
        longest = 1 + max(slow.lengths[row] for row in row_list)
        slow.reserve(longest)
        key = (
            bucket_of(1 + max(row_list), len(slow.lengths)), bucket_of(longest, slow.capacity, MIN_CAPACITY),
            side is not None,
        )  # fmt: skip
        if state.captured_keys is not slow.keys:
            # The cache grew and moved.
            state.step_graphs.clear()
            state.captured_keys = slow.keys
        graph = state.step_graphs.get(key)
        if graph is None:
            graph = self._captured_step(CudaGraphStep(self, state, *key), frames, state, row_list, side)
            if graph is None:
                state.clear_graphs()
                return super().step(frames, state, rows, side)
            state.step_graphs[key] = graph
        graph.load(frames, slow.lengths, row_list, side)
        out = graph.run(row_list)
        for row in row_list:
            slow.lengths[row] += 1
        return out

    def _captured_step(
        self, graph: CudaGraphStep, frames: Tensor, state: CudaGraphState, rows: list[int], side: Tensor | None
    ) -> CudaGraphStep | None:
        """Captures a step and returns its graph; None if that fails or its output differs from the plain step's."""
        if not self._capture(graph, state.capture):
            return None
        lengths = state.slow.lengths
        expected = super().step(frames, state, rows, side)
        for row in rows:
            lengths[row] -= 1
        graph.load(frames, lengths, rows, side)
        actual = graph.run(rows)
        pairs = [(expected.logits, actual.logits), (expected.hidden, actual.hidden)]
        pairs += [(expected.aux[name], actual.aux[name]) for name in expected.aux]
        tolerance = TOLERANCES[self.dtype]
        # Written so that NaN fails.
        if far := [d for d in (cosine_distance(*pair) for pair in pairs) if not d <= tolerance]:
            self._disable(f"a captured step of {graph.n_slots} rows differed from the plain one by {far[0]:.2g}")
            return None
        return graph

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        if self.disabled_reason is not None or not isinstance(state, CudaGraphState):
            return super().sample_frames(out, samplers, state, rows)
        row_list = list(rows)
        kind = SamplerKind.of(out, samplers, self.spec.family)
        key = (id(self), bucket_of(len(row_list), len(state.recent)), kind)
        graph = state.sampler_graphs.get(key)
        if graph is None:
            graph = CudaGraphSampler(self, state.fast, *key[1:])
            if not self._capture(graph, state.capture) or not self._samples_match(
                graph, out, samplers, state, row_list
            ):
                state.clear_graphs()
                return super().sample_frames(out, samplers, state, rows)
            state.sampler_graphs[key] = graph
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
        """Returns whether the graph samples what the uncaptured call samples, from the same memory with the same
        kernels.
        """
        graph.load(out, samplers, state.recent, rows)
        pairs = zip(graph.compute(), graph.replay(), strict=True)
        if not all(expected is None or torch.equal(expected, actual) for expected, actual in pairs):
            self._disable(f"a captured sampler of {len(graph.logits)} rows sampled other codes than the plain one")
            return False
        return True

    def _capture(self, graph: CudaGraphStep | CudaGraphSampler, capture: Capture) -> bool:
        try:
            graph.capture_with(capture)
        except RuntimeError as error:
            self._disable(f"capture failed ({type(error).__name__}: {str(error).partition(chr(10))[0]})")
            return False
        return True

    def _disable(self, reason: str) -> None:
        self.disabled_reason = reason
        log.warning("CUDA graphs are disabled for '%s': %s.", self.spec.name, reason)


@dataclass(frozen=True, slots=True)
class CudaGraph:
    """Exact up to the order of float sums: attention also reads masked positions."""

    name: str = "cuda_graph"
    is_exact: bool = True
    tolerance: float = 1e-4

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"supports DualAR only, not {type(model).__name__}")
        if device.type != "cuda":
            return Support(False, f"CUDA graphs need a CUDA GPU; this is {device.type}")
        if type(model) is not DualAR:
            return Support(False, "another optimization already replaces its steps")
        if not all(type(block) is DualARBlock for stack in (model.layers, model.fast_layers) for block in stack):
            return Support(False, "its layers are not plain ones")
        # Conservative: quantized and compiled layers may synchronize with the host.
        if any(type(layer) is not nn.Linear for layer in model.modules() if isinstance(layer, nn.Linear)):
            return Support(False, "its matrices are quantized and may synchronize with the host")
        if any(module._compiled_call_impl is not None for module in model.modules()):
            return Support(False, "its layers are compiled and may synchronize with the host")
        return Support(True, "one launch per step and one per sampled frame; not yet measured on a GPU")

    def apply(self, model: DualAR) -> DualAR:
        """Converts `model` in place; graphs are captured on first use."""
        return CudaGraphDualAR.of(model)
