"""A quantized `DualAR` on CPU whose steps, prompts and frames run in compiled kernels."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor, nn

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR, DualARState
from backend.lm.spec import LMSpec, Prompt, StepOutput
from backend.optimize.base import Support
from backend.optimize.cpu_graph.model import MAX_FRAME_GRAPHS, CpuGraphDualAR, CpuGraphState, sample_rows
from backend.optimize.cpu_kernel.buffers import Buffers
from backend.optimize.cpu_kernel.compilation import Compilation, Functions, compilation, missing_reason
from backend.optimize.cpu_kernel.frame import MAX_FRAME_ROWS, KernelFrame
from backend.optimize.cpu_kernel.layout import MAX_ROWS
from backend.optimize.cpu_kernel.stacks import KernelStack, fast_stack, run_rows, slow_stack, unsupported_reason

STACKS = ("layers", "fast_layers")
MEASURED_TURNS = 3


@dataclass(slots=True)
class CpuKernelState(CpuGraphState):
    """A `CpuGraphState` with the kernels' buffers."""

    rows: Buffers | None = None
    kernel_frames: LRUCache[tuple[int, int], KernelFrame] = field(default_factory=lambda: LRUCache(MAX_FRAME_GRAPHS))


class KernelWeights:
    """Both stacks in the kernels' layout. `tables` hold the fast stack's inputs, one per codebook after the first."""

    def __init__(self, lm: DualAR, functions: Functions):
        spec: LMSpec = lm.spec
        self.spec, self.end_code, self.project_in = spec, lm.end_code, lm.fast_project_in
        self.slow: KernelStack | None = None if lm.layers is None else slow_stack(lm, functions)
        self.fast = fast_stack(lm, functions)
        table, n_passes = lm.fast_embeddings.weight.detach().float().numpy(), max(spec.n_codebooks - 1, 1)
        is_own = lm.config.has_own_fast_tables
        self.tables = list(table.reshape(n_passes, lm.config.codebook_size, -1)) if is_own else [table] * n_passes
        self.aux = {} if lm.aux_heads is None else dict(lm.aux_heads.items())

    def fast_inputs(self, hidden: Tensor) -> np.ndarray:
        return row_by_row(self.project_in, hidden).numpy()


class CpuKernelDualAR(CpuGraphDualAR):
    """Runs as a `CpuGraphDualAR` until the kernels are compiled and its weights are in their layout.

    A batch changes over at the start of its next prompt. Kernels compiled only now are measured first, and stay unused
    if they are not faster.
    """

    weights: KernelWeights | None
    compiled: Compilation
    is_wanted: bool
    kernel_state: str  # for people
    _next: KernelWeights | None

    @classmethod
    def of(cls, lm: DualAR, compiled: Compilation | None = None) -> CpuKernelDualAR:
        """Converts `lm` in place, at once where the kernels are compiled."""
        if not isinstance(lm, CpuGraphDualAR):
            lm = CpuGraphDualAR.of(lm)
        lm.__class__ = cls
        assert isinstance(lm, cls)
        lm.weights, lm.compiled, lm._next = None, compiled or compilation(), None
        lm.is_wanted, lm.kernel_state = True, lm.compiled.reason
        if lm.compiled.wait_for_cache():
            lm._pack()
            lm._change_over()
        elif lm.compiled.state == "compiling":
            # Not a daemon: ending inside PyTorch would abort the process.
            threading.Thread(target=lm._pack_when_compiled, name="pack-cpu-kernel").start()
        return lm

    def keep_fast_only(self) -> None:
        super().keep_fast_only()
        if self.weights is not None:
            self.weights.slow = None

    def _pack_when_compiled(self) -> None:
        if not self.compiled.wait():
            self.is_wanted, self.kernel_state = False, self.compiled.reason
            return
        if not threading.main_thread().is_alive():
            return
        if self.layers is not None:
            whole, less = frame_seconds(self, self.compiled)
            if less >= whole:
                self.is_wanted, self.kernel_state = False, "not faster here"
                return
        self._pack()

    def _pack(self) -> None:
        assert self.compiled.functions is not None
        with torch.inference_mode():
            self._next = KernelWeights(self, self.compiled.functions)
        self.kernel_state = f"running, {self.compiled.reason}"

    def _change_over(self) -> None:
        """Uses the packed weights from now on; the plain layers read the same memory."""
        weights, self._next = self._next, None
        assert weights is not None
        outputs = list(self.fast_output) if self.config.has_own_fast_tables else [self.fast_output]
        for stack, blocks, heads in (
            (weights.slow, self.layers, [self.head]),
            (weights.fast, self.fast_layers, outputs),
        ):
            if stack is None:
                continue
            for layer, block in zip(stack.layers, blocks, strict=True):
                block.qkv, block.out, block.gate_up, block.down = (matrix.without_bias for matrix in layer.matrices)
            for head, matrix in zip(heads, stack.heads, strict=True):
                head.matrix = matrix.without_bias
        self.slow_weights = self.fast_weights = None
        self.weights = weights

    def init_state(self, batch: int, max_frames: int | None = None, kv_dtype: torch.dtype | None = None) -> DualARState:
        state = super().init_state(batch, max_frames, kv_dtype)
        if not isinstance(state, CpuGraphState):
            return state
        return CpuKernelState(state.slow, state.fast, state.recent, state.conditioning)

    def prefill(self, prompt: Prompt, state: DualARState, row: int) -> StepOutput:
        if self._next is not None:
            self._change_over()
            if isinstance(state, CpuKernelState):
                # They hold the weights' former layout.
                state.steps.clear()
                state.frames.clear()
        if self.weights is None or not isinstance(state, CpuKernelState):
            return super().prefill(prompt, state, row)
        self._check_prompt(prompt)
        if prompt.conditioning is not None:
            assert state.conditioning is not None
            state.conditioning[row] = self.project_conditioning(prompt.conditioning)
        n, start = prompt.tokens.shape[1], state.slow.lengths[row]
        state.slow.reserve(start + n)
        x = self.embed(
            prompt.tokens, prompt.side, None if state.conditioning is None else state.conditioning[row], is_scaled=True
        )
        out = self._run(x, state, [row] * n, list(range(start, start + n)), n_out=1)
        state.slow.lengths[row] += n
        return out

    def step(self, frames: Tensor, state: DualARState, rows: Sequence[int], side: Tensor | None = None) -> StepOutput:
        if self.weights is None:
            return super().step(frames, state, rows, side)
        if not isinstance(state, CpuKernelState):
            return DualAR.step(self, frames, state, rows, side)
        row_list = list(rows)
        positions = [state.slow.lengths[row] for row in row_list]
        state.slow.reserve(1 + max(positions))
        conditioning = None if state.conditioning is None else state.conditioning[row_list][:, None]
        x = self.embed(frames[:, :, None], None if side is None else side[:, None], conditioning, is_scaled=True)[:, 0]
        out = self._run(x, state, row_list, positions, n_out=len(row_list))
        for row in row_list:
            state.slow.lengths[row] += 1
        return out

    def _run(self, x: Tensor, state: CpuKernelState, slots: list[int], positions: list[int], n_out: int) -> StepOutput:
        weights = self.weights
        assert weights is not None and weights.slow is not None
        if state.rows is None:
            state.rows = weights.slow.buffers(MAX_ROWS)
        before, after, logits = run_rows(weights.slow, state.rows, x.float(), state.slow, slots, positions, n_out)
        aux = {name: row_by_row(head, after) for name, head in weights.aux.items()}
        return StepOutput(logits, self.fast_input(before, after), aux)

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: DualARState, rows: Sequence[int]
    ) -> Tensor:
        if self._next is not None and self.layers is None:
            self._change_over()
        if self.weights is None:
            return super().sample_frames(out, samplers, state, rows)
        if not isinstance(state, CpuKernelState):
            return DualAR.sample_frames(self, out, samplers, state, rows)
        row_list = list(rows)
        parts = [slice(start, start + MAX_FRAME_ROWS) for start in range(0, len(row_list), MAX_FRAME_ROWS)]
        found = []
        for part in parts:
            aux = {name: values[part] for name, values in out.aux.items()}
            some = StepOutput(out.logits[part], out.hidden[part], aux)
            found.append(self._sample(self.weights, some, samplers[part], state, row_list[part]))
        return torch.cat(found)

    def _sample(
        self, weights: KernelWeights, out: StepOutput, samplers: Sequence[SamplerState], state: CpuKernelState,
        rows: list[int],
    ) -> Tensor:  # fmt: skip
        key = (id(weights), len(rows))
        kernel_frame = state.kernel_frames.get(key)
        if kernel_frame is None:
            kernel_frame = state.kernel_frames[key] = KernelFrame(weights, len(rows))
        return sample_rows(kernel_frame, out, samplers, state.recent, rows)


def frame_seconds(lm: DualAR, compiled: Compilation) -> tuple[float, float]:
    """Returns the seconds of a frame with the first layer of each stack as bound calls and in kernels.

    `lm` has int8 layers and does not change.
    """
    from backend.optimize.planner.benchmark import spoken_frame_s

    assert compiled.functions is not None
    bound = copy.copy(lm)
    bound._modules = {name: part[:1] if name in STACKS else part for name, part in lm._modules.items()}
    bound.__class__ = DualAR
    bound = CpuGraphDualAR.of(bound)
    kernels = copy.copy(bound)
    kernels.__class__ = CpuKernelDualAR
    assert isinstance(kernels, CpuKernelDualAR)
    with torch.inference_mode():
        kernels.weights, kernels._next = KernelWeights(bound, compiled.functions), None
        # In turn, and the least of each: other programs disturb both.
        found = [(spoken_frame_s(bound), spoken_frame_s(kernels)) for _ in range(MEASURED_TURNS)]
    whole, less = (min(times) for times in zip(*found, strict=True))
    return whole, less


def row_by_row(layer: nn.Module, rows: Tensor) -> Tensor:
    """Applies a float layer to rows [B, n] one at a time: products of several rows may add in another order."""
    if isinstance(layer, nn.Identity):
        return rows
    return torch.cat([layer(row[None]) for row in rows])


@dataclass(frozen=True, slots=True)
class CpuKernel:
    """The same integers as `int8` on CPUs, sums in another order; samples with the same noise.

    Quality: logits keep a cosine similarity of at least 1 - `tolerance` with the plain int8 model.
    """

    name: str = "cpu_kernel"
    is_exact: bool = False
    tolerance: float = 0.001

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"supports DualAR only, not {type(model).__name__}")
        if device.type != "cpu":
            return Support(False, f"needs a CPU; this is {device.type}")
        if isinstance(model, CpuKernelDualAR):
            return Support(False, "it runs in kernels already")
        reason = missing_reason() or unsupported_reason(model)
        return Support(reason is None, reason or "frames run in compiled kernels")

    def apply(self, model: DualAR) -> DualAR:
        """Compiles in the background if this machine has not yet, and converts `model` in place."""
        return CpuKernelDualAR.of(model)
