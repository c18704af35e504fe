"""Frames of a `DualAR` as calls bound once to the buffers of B rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualARState
from backend.lm.spec import StepOutput
from backend.lm.text_pointer import ADVANCE
from backend.optimize.cpu_graph.block import RowBuffers, run
from backend.optimize.cpu_graph.matmul import Call, norm_calls
from backend.optimize.cpu_graph.sampler import CpuGraphSampler
from backend.optimize.cpu_graph.weights import EmbeddingTable, FastWeights, SlowWeights

if TYPE_CHECKING:
    from backend.lm.kv_cache import SlotCache


# From this many keys per position and layer, a past of a few hundred frames exceeds the CPU caches.
WIDE = 512


class CpuGraphStep:
    """The slow stack for B rows: bound calls around attention to pasts of any length.

    `embed` is `DualAR.embed`, used where the weights hold no joined embedding table.
    """

    def __init__(self, weights: SlowWeights, B: int, embed: Callable[..., Tensor]):
        blocks = weights.blocks
        self.weights, self.rows, self.embed = weights, RowBuffers(blocks[0], B), embed
        n_pairs = weights.rotations.shape[1]
        self.waves = np.zeros((B, 1, n_pairs), np.complex64)
        self.rotations = np.zeros((B, len(weights.head_scales), n_pairs), np.complex64)
        self.normed = torch.zeros_like(self.rows.x)
        self.products = [torch.zeros(B, head.out_features) for head in weights.heads]
        self.lookup = None if weights.table is None else EmbeddingSum(weights.table, self.rows.x.numpy())
        self.before = [list(self.rows.heads(block, self.rotations)) for block in blocks]
        self.after = [list(self.rows.rest(block)) for block in blocks]
        self.end = list(norm_calls(weights.norm, self.rows.x, self.normed, self.rows.scratch))
        for matrix, out in zip(weights.head_matrices, self.products, strict=True):
            self.end += matrix.into(self.normed, out, self.rows.scratch)
        self.keys, self.values = self.rows.kv
        is_narrow = blocks[0].n_kv_heads * blocks[0].head_dim < WIDE
        self.attend = NarrowAttend(self.rows) if is_narrow else WideAttend(self.rows)

    def step(self, frames: Tensor, side: Tensor | None, state: DualARState, rows: Sequence[int]) -> StepOutput:
        slow = state.slow
        if self.lookup is None:
            side = None if side is None else side[:, None]
            self.rows.x.copy_(self.embed(frames[:, :, None], side, None, is_scaled=True)[:, 0])
        else:
            self.lookup.run(frames.numpy(), None if side is None else side.numpy())
        if state.conditioning is not None:
            x = self.rows.x.numpy()
            x += state.conditioning.numpy()[rows]
        positions = [slow.lengths[row] for row in rows]
        slow.reserve(1 + max(positions))
        np.take(self.weights.rotations, positions, 0, self.waves[:, 0], "clip")
        np.multiply(self.waves, self.weights.head_scales, self.rotations)
        pasts = [self.attend.past(slow, row, position + 1) for row, position in zip(rows, positions, strict=True)]
        new = [
            [cache.numpy()[:, row, :, position] for cache in (slow.keys, slow.values)]
            for row, position in zip(rows, positions, strict=True)
        ]
        for layer, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            run(before)
            for i, ((new_keys, new_values), past) in enumerate(zip(new, pasts, strict=True)):
                new_keys[layer], new_values[layer] = self.keys[i], self.values[i]
                self.attend(i, layer, past)
            run(after)
        run(self.end)
        for row in rows:
            slow.lengths[row] += 1
        return self.weights.step_output(self.rows.x, self.normed, self.products)


class NarrowAttend:
    """Attention of a row to a past that fits the CPU caches, where NumPy's products take half the time of PyTorch's."""

    def __init__(self, rows: RowBuffers):
        self.q, self.attended = rows.q.numpy(), rows.attended_heads.numpy()

    def past(self, slow: SlotCache, row: int, n_frames: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """Returns keys and values [L, H_kv, n, d] of a row including its new frame, and a buffer for a layer's scores."""
        keys, values = (cache.numpy()[:, row, :, :n_frames] for cache in (slow.keys, slow.values))
        return keys, values, torch.empty(*self.q.shape[1:-1], n_frames)

    def __call__(self, i: int, layer: int, past: tuple[np.ndarray, np.ndarray, Tensor]) -> None:
        keys, values, scores = past
        weights = scores.numpy()
        np.matmul(self.q[i], keys[layer].swapaxes(-1, -2), weights)
        torch._softmax(scores, -1, False, out=scores)
        np.matmul(weights, values[layer], self.attended[i])


class WideAttend:
    """Attention limited by memory bandwidth: PyTorch takes two thirds of NumPy's time, and uses all cores."""

    def __init__(self, rows: RowBuffers):
        self.q, self.attended = list(rows.q.transpose(-1, -2)), list(rows.attended_heads)

    def past(self, slow: SlotCache, row: int, n_frames: int) -> tuple[list[Tensor], list[Tensor]]:
        keys, values = (cache[:, row, :, :n_frames].unbind(0) for cache in (slow.keys, slow.values))
        return keys, values

    def __call__(self, i: int, layer: int, past: tuple[list[Tensor], list[Tensor]]) -> None:
        keys, values = past
        # Tall-by-wide product: see `attend_row`.
        scores = torch.bmm(keys[layer], self.q[i]).transpose(1, 2).contiguous()
        torch.bmm(torch._softmax(scores, -1, False), values[layer], out=self.attended[i])


class EmbeddingSum:
    """Looks up all embeddings of B positions at once and sums them in x [B, D]."""

    def __init__(self, table: EmbeddingTable, x: np.ndarray):
        self.n_codes, self.offsets = table.n_code_columns, table.offsets
        self.ids = np.zeros((len(x), len(table.offsets)), np.int64)
        self.calls = list(self._sum(table, x))

    def _sum(self, table: EmbeddingTable, x: np.ndarray) -> Iterator[Call]:
        embedded = np.zeros((*self.ids.shape, x.shape[1]), np.float32)
        yield partial(np.take, table.entries, self.ids, 0, embedded, "clip")
        if table.code_scale == 1:
            yield partial(np.add.reduce, embedded, 1, None, x)
            return
        yield partial(np.add.reduce, embedded[:, : self.n_codes], 1, None, x)
        yield partial(np.multiply, x, np.float32(table.code_scale), x)
        for column in range(self.n_codes, embedded.shape[1]):
            yield partial(np.add, x, embedded[:, column], x)

    def run(self, frames: np.ndarray, side: np.ndarray | None) -> None:
        np.add(frames, self.offsets[: self.n_codes], out=self.ids[:, : self.n_codes])
        if side is not None:
            np.add(side, self.offsets[self.n_codes :], out=self.ids[:, self.n_codes :])
        run(self.calls)


class CpuGraphFrame:
    """The fast stack for B rows: one list of calls for the first two positions of a frame, one for each later one."""

    def __init__(self, weights: FastWeights, B: int):
        blocks, spec = weights.blocks, weights.spec
        first = blocks[0]
        self.weights, self.B = weights, B
        # Running both together reads the weights once: rows 0...B-1 are position 0, rows B...2B-1 position 1.
        self.pair, self.rows = RowBuffers(first, 2 * B), RowBuffers(first, B)
        self.codes = np.zeros(B, np.int64)
        self.logits = torch.zeros(B, spec.n_residual)
        self.past = np.zeros((len(blocks), 2, B, first.n_kv_heads, spec.n_codebooks, first.head_dim), np.float32)
        self.passes = [list(self._first_pass())] if spec.n_codebooks > 1 else []
        self.passes += [list(self._pass(position)) for position in range(2, spec.n_codebooks)]
        self.sampler = CpuGraphSampler(B, spec.n_codebooks, max(spec.n_legal, spec.n_residual), spec.family)

    def _first_pass(self) -> Iterator[Call]:
        """Runs position 0, whose x is set, and position 1: `codes` of the first codebook to `logits` of the second."""
        weights, pair, B = self.weights, self.pair, self.B
        rotations = weights.rotations[:2].repeat(B, axis=0)
        yield partial(np.take, weights.tables[0], self.codes, 0, pair.x.numpy()[B:], "clip")
        for layer, block in enumerate(weights.blocks):
            past, values = self.past[layer], pair.kv[1, :B]
            yield from pair.heads(block, rotations)
            yield partial(np.copyto, past[:, :, :, 0], pair.kv[:, :B])
            yield partial(np.copyto, past[:, :, :, 1], pair.kv[:, B:])
            # Position 0 attends to itself only.
            yield partial(np.copyto, pair.attended_heads.numpy()[:B], values[:, :, None])
            yield from self._attend(layer, 2, pair.q.numpy()[B:], pair.attended_heads.numpy()[B:])
            yield from pair.rest(block)
        yield from weights.heads[0].into(pair.x[B:], self.logits, pair.scratch)

    def _pass(self, position: int) -> Iterator[Call]:
        """Runs `position`: `codes` of the previous codebook to `logits` of this one."""
        weights, rows = self.weights, self.rows
        yield partial(np.take, weights.tables[position - 1], self.codes, 0, rows.x.numpy(), "clip")
        for layer, block in enumerate(weights.blocks):
            yield from rows.heads(block, weights.rotations[position])
            yield partial(np.copyto, self.past[layer, :, :, :, position], rows.kv)
            yield from self._attend(layer, position + 1, rows.q.numpy(), rows.attended_heads.numpy())
            yield from rows.rest(block)
        yield from weights.heads[position - 1].into(rows.x, self.logits, rows.scratch)

    def _attend(self, layer: int, n: int, q: np.ndarray, attended: np.ndarray) -> Iterator[Call]:
        keys, values = self.past[layer, :, :, :, :n]
        scores = self.rows.scratch.zeros("scores", *q.shape[:-1], n)
        yield partial(np.matmul, q, keys.swapaxes(-1, -2), scores.numpy())
        yield partial(torch._softmax, scores, -1, False, out=scores)
        yield partial(np.matmul, scores.numpy(), values, attended)

    def frames(self, out: StepOutput, samplers: Sequence[SamplerState], recent: np.ndarray) -> np.ndarray:
        """Samples the next frames [B, R]; `recent` [B, W, R] are the previous ones."""
        weights, spec, sampler, codes = self.weights, self.weights.spec, self.sampler, self.codes
        sampler.start(samplers, recent)
        index = sampler.main(out.logits.numpy().copy(), spec.semantic_begin_id)
        is_end = index == spec.n_semantic
        frames = np.empty((len(index), spec.n_rows), np.int64)
        frames[:, 0] = np.where(is_end, spec.end_id, index + spec.semantic_begin_id)
        frames[:, 1] = codes[:] = np.where(is_end, weights.end_code, np.minimum(index, spec.codebook_size - 1))
        if self.passes:
            self.pair.x[: self.B].copy_(weights.project_in(out.hidden))
        for k, calls in enumerate(self.passes, start=1):
            run(calls)
            frames[:, k + 1] = codes[:] = sampler.code(self.logits.numpy(), k)
        if ADVANCE in out.aux:
            sampler.advance(out.aux[ADVANCE].numpy(), samplers)
        return frames
