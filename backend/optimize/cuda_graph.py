"""A whole frame as one CUDA graph: slow step, main id, the fast passes, and the frame written back as the next input.

Nothing in it waits for the host: noise is a function of seed and frame number, both tensors here. The host reads
frames a step late and drops what a finished row said after its end. The same code runs without capture on any device,
which is how it is tested; captured it has not been run on a card yet, nor measured, and the scheduler does not use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.lm.dual_ar import DualAR, DualARState
from backend.lm.kv import FrameCache
from backend.lm.noise import noise_keys
from backend.lm.sampling import REPETITION_FRAMES, FrameDraw, RowLimits, RowSampler
from backend.nn.rope import RopeTable, rope_table
from backend.optimize.base import Support

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
WARM_UP = 3
NO_TOP_K = 1 << 20


class StaticFrame:
    """Frames of up to `batch` rows of at most `capacity` positions, all in tensors that never move."""

    def __init__(self, lm: DualAR, batch: int, capacity: int):
        self.lm, self.capacity = lm, capacity
        spec, config, device, dtype = lm.spec, lm.config, lm.device, lm.dtype
        slow = config.slow
        shape = (slow.n_layers, batch, slow.n_kv_heads, capacity, slow.head_dim)
        # Zeros: a masked position still takes part in sums, and must be a number.
        self.keys, self.values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
        self.fast = FrameCache(config.fast, batch, spec.n_codebooks, dtype, device)
        cos, sin = rope_table(torch.arange(capacity, device=device)[None], slow.head_dim, slow.rope_base)
        self.table = RopeTable(cos[0], sin[0])
        self.row_index = torch.arange(batch, device=device)
        self.places = torch.arange(capacity, device=device)
        self.streams = torch.arange(spec.n_codebooks + 2, device=device)
        self.positions, self.seeds, self.numbers = (
            torch.zeros(batch, dtype=torch.long, device=device) for _ in range(3)
        )
        self.frames = torch.zeros(batch, spec.n_rows, dtype=torch.long, device=device)
        self.recent = torch.full((batch, REPETITION_FRAMES, spec.n_rows), -1, device=device)
        self.temperature, self.top_p, self.top_k, self.min_p, self.penalty = (
            torch.ones(batch, 1, device=device) for _ in range(5)
        )
        self.ras = torch.zeros(batch, dtype=torch.bool, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def load_row(self, row: int, state: DualARState, source: int, frame: Tensor, sampler: RowSampler) -> None:
        """Go on in `row` where row `source` of `state` stands, whose last frame [R] it has not been told yet."""
        n = state.length(source)
        self.keys[:, row, :, :n] = state.slow.keys[:, source, :, :n]
        self.values[:, row, :, :n] = state.slow.values[:, source, :, :n]
        self.positions[row], self.frames[row], self.recent[row] = n, frame, state.recent[source]
        self.seeds[row], self.numbers[row] = sampler.noise_seed, sampler.frame
        options = sampler.options
        limits = RowLimits.of([options], self.keys.device)
        self.temperature[row], self.top_p[row] = limits.temperature[0], limits.top_p[0]
        self.top_k[row] = NO_TOP_K if limits.top_k is None else limits.top_k[0]
        self.min_p[row] = options.min_p or 0.0
        self.penalty[row] = options.repetition_penalty
        self.ras[row] = options.uses_ras(self.lm.spec.era) and not options.is_greedy

    def run(self) -> Tensor:
        """The next frame [B, R] of every row: a tensor that the next run overwrites."""
        if self.graph is None:
            self._frame()
        else:
            self.graph.replay()
        return self.frames

    def capture(self) -> None:
        """Record the frame. Rows are loaded afterwards: recording moves what is in them."""
        side = torch.cuda.Stream(self.keys.device)
        side.wait_stream(torch.cuda.current_stream(self.keys.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._frame()
        torch.cuda.current_stream(self.keys.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._frame()
        self.graph = graph
        self.positions.zero_()

    def _frame(self) -> None:
        lm = self.lm
        x = lm.embed(self.frames[:, :, None], None, None, is_scaled=True)[:, 0]
        table = RopeTable(*(wave[self.positions] for wave in self.table))
        mask = self.places <= self.positions[:, None, None, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys[self.row_index, :, self.positions] = k.to(keys.dtype)
            values[self.row_index, :, self.positions] = v.to(values.dtype)
            grouped = q.unflatten(1, (k.shape[1], -1)).to(keys.dtype)
            return F.scaled_dot_product_attention(grouped, keys, values, mask).flatten(1, 2).to(q.dtype)

        for index, layer in enumerate(lm.layers):
            x = layer(x, table, attend, index)
        frames = lm.draw_frame(lm.output_of(x), StaticDraw(self), self.fast)
        self.recent.copy_(torch.cat((self.recent[:, 1:], frames[:, None]), dim=1))
        self.frames.copy_(frames)
        self.numbers.add_(1)
        # A row past its end goes on at the last place until it is replaced.
        self.positions.add_(1).clamp_(max=self.capacity - 1)


class StaticDraw(FrameDraw):
    """The decisions of a frame from tensors alone. What a row does not use has the value that changes nothing."""

    def __init__(self, frame: StaticFrame):
        self.limits = RowLimits(frame.temperature, frame.top_p, frame.top_k, frame.min_p, is_greedy=False)
        self.recent, self.n_codebooks = frame.recent, frame.lm.spec.n_codebooks
        self.keys = noise_keys(frame.seeds, frame.numbers, frame.streams)
        self.penalty, self.is_endless, self.ras = frame.penalty, None, frame.ras


@dataclass(frozen=True, slots=True)
class CudaGraph:
    """Exact up to the order of float sums: attention reads masked places too."""

    name: str = "cuda_graph"
    is_exact: bool = True
    tolerance: float = 1e-4

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, DualAR):
            return Support(False, f"records DualAR only, not {type(model).__name__}")
        if model.spec.aux or model.spec.n_side:
            return Support(False, "a pointer is moved by the host between frames")
        if device.type != "cuda":
            return Support(False, f"graphs exist on CUDA cards; this is {device.type}")
        return Support(True, "one launch a frame; not yet measured on a card")

    def open(self, lm: DualAR, n_rows: int, capacity: int) -> StaticFrame:
        """A recorded frame in the smallest bucket that holds `n_rows`."""
        frame = StaticFrame(lm, bucket_of(n_rows), capacity)
        frame.capture()
        return frame


def bucket_of(n_rows: int, buckets: Sequence[int] = BUCKETS) -> int:
    return next(bucket for bucket in buckets if bucket >= n_rows)
