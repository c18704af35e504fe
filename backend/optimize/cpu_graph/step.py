"""Frames of a `DualAR` as calls bound once to buffers of B rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

if TYPE_CHECKING:
    from backend.lm.kv_cache import SlotCache
    from backend.optimize.cpu_graph.model import CpuGraphDualAR


# Keys and values of a position and a layer from which a past of some hundreds leaves the caches.
WIDE = 512


class CpuGraphStep:
    """The slow stack for B rows: calls around the attention to pasts of any length."""

    def __init__(self, lm: CpuGraphDualAR, B: int):
        blocks = lm.slow_matrices
        self.lm, self.rows = lm, RowBuffers(blocks[0], B)
        self.turn = np.zeros((B, 1, lm.slow_turns.shape[1]), np.complex64)
        self.turns = np.zeros((B, len(lm.slow_scales), lm.slow_turns.shape[1]), np.complex64)
        self.normed = torch.zeros_like(self.rows.x)
        self.said = [torch.zeros(B, head.out_features) for head in lm.said_heads]
        self.embed = None if lm.table is None else TableSum(lm, lm.table, self.rows.x.numpy())
        self.before = [list(self.rows.heads(block, self.turns)) for block in blocks]
        self.after = [list(self.rows.rest(block)) for block in blocks]
        self.end = list(norm_calls(lm.norm, self.rows.x, self.normed, self.rows.scratch))
        for matrix, out in zip(lm.said_matrices, self.said, strict=True):
            self.end += matrix.into(self.normed, out, self.rows.scratch)
        self.keys, self.values = self.rows.kv
        is_narrow = blocks[0].n_kv_heads * blocks[0].head_dim < WIDE
        self.attend = NarrowAttend(self.rows) if is_narrow else WideAttend(self.rows)

    def step(self, frames: Tensor, side: Tensor | None, state: DualARState, rows: Sequence[int]) -> StepOutput:
        slow = state.slow
        if self.embed is None:
            told = None if side is None else side[:, None]
            self.rows.x.copy_(self.lm.embed(frames[:, :, None], told, None, is_scaled=True)[:, 0])
        else:
            self.embed.run(frames.numpy(), None if side is None else side.numpy())
        if state.conditioning is not None:
            x = self.rows.x.numpy()
            x += state.conditioning.numpy()[rows]
        positions = [slow.lengths[row] for row in rows]
        slow.reserve(1 + max(positions))
        np.take(self.lm.slow_turns, positions, 0, self.turn[:, 0], "clip")
        np.multiply(self.turn, self.lm.slow_scales, self.turns)
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
        return self.lm.say(self.rows.x, self.normed, self.said)


class NarrowAttend:
    """Attention of a row over its past where that stays in caches: NumPy's products take half the time of PyTorch's."""

    def __init__(self, rows: RowBuffers):
        self.q, self.attended = rows.q.numpy(), rows.attended_heads.numpy()

    def past(self, slow: SlotCache, row: int, n_frames: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """Keys and values [L, H_kv, n, d] of a row with its new frame, and room for a layer's scores [H_kv, r, n]."""
        keys, values = (cache.numpy()[:, row, :, :n_frames] for cache in (slow.keys, slow.values))
        return keys, values, torch.empty(*self.q.shape[1:-1], n_frames)

    def __call__(self, i: int, layer: int, past: tuple[np.ndarray, np.ndarray, Tensor]) -> None:
        keys, values, scores = past
        weights = scores.numpy()
        np.matmul(self.q[i], keys[layer].swapaxes(-1, -2), weights)
        torch._softmax(scores, -1, False, out=scores)
        np.matmul(weights, values[layer], self.attended[i])


class WideAttend:
    """The same where reading memory takes the time, which PyTorch does in two thirds of NumPy's, and on all cores."""

    def __init__(self, rows: RowBuffers):
        self.q, self.attended = list(rows.q.transpose(-1, -2)), list(rows.attended_heads)

    def past(self, slow: SlotCache, row: int, n_frames: int) -> tuple[list[Tensor], list[Tensor]]:
        keys, values = (cache[:, row, :, :n_frames].unbind(0) for cache in (slow.keys, slow.values))
        return keys, values

    def __call__(self, i: int, layer: int, past: tuple[list[Tensor], list[Tensor]]) -> None:
        keys, values = past
        # Keys times queries, tall before wide: see `attend_row`.
        scores = torch.bmm(keys[layer], self.q[i]).transpose(1, 2).contiguous()
        torch.bmm(torch._softmax(scores, -1, False), values[layer], out=self.attended[i])


class TableSum:
    """What positions of B rows are told, looked up at once in one table of everything and added up in x [B, D]."""

    def __init__(self, lm: CpuGraphDualAR, table: np.ndarray, x: np.ndarray):
        self.n_codes, self.offsets = 1 + lm.spec.n_codebooks, lm.offsets
        self.ids = np.zeros((len(x), len(lm.offsets)), np.int64)
        self.calls = list(self._sum(table, lm.code_scale, x))

    def _sum(self, table: np.ndarray, code_scale: float, x: np.ndarray) -> Iterator[Call]:
        found = np.zeros((*self.ids.shape, x.shape[1]), np.float32)
        yield partial(np.take, table, self.ids, 0, found, "clip")
        if code_scale == 1:
            yield partial(np.add.reduce, found, 1, None, x)
            return
        yield partial(np.add.reduce, found[:, : self.n_codes], 1, None, x)
        yield partial(np.multiply, x, np.float32(code_scale), x)
        for column in range(self.n_codes, found.shape[1]):
            yield partial(np.add, x, found[:, column], x)

    def run(self, frames: np.ndarray, side: np.ndarray | None) -> None:
        np.add(frames, self.offsets[: self.n_codes], out=self.ids[:, : self.n_codes])
        if side is not None:
            np.add(side, self.offsets[self.n_codes :], out=self.ids[:, self.n_codes :])
        run(self.calls)


class CpuGraphFrame:
    """The fast stack for B rows: one list of calls for the first two positions of the frame and one for each other."""

    def __init__(self, lm: CpuGraphDualAR, B: int):
        blocks, spec = lm.fast_matrices, lm.spec
        first = blocks[0]
        self.lm, self.B = lm, B
        # Both together read the weights once: positions 0 are rows up to B, positions 1 those behind.
        self.pair, self.rows = RowBuffers(first, 2 * B), RowBuffers(first, B)
        self.codes = np.zeros(B, np.int64)
        self.logits = torch.zeros(B, spec.n_residual)
        self.past = np.zeros((len(blocks), 2, B, first.n_kv_heads, spec.n_codebooks, first.head_dim), np.float32)
        self.passes = [list(self._first_pass())] if spec.n_codebooks > 1 else []
        self.passes += [list(self._pass(position)) for position in range(2, spec.n_codebooks)]
        self.draw = CpuGraphSampler(B, spec.n_codebooks, max(spec.n_legal, spec.n_residual), spec.family)

    def _first_pass(self) -> Iterator[Call]:
        """Positions 0, whose x is there, and 1: `codes` of the first codebook to `logits` of the second."""
        lm, pair, B = self.lm, self.pair, self.B
        turns = lm.fast_turns[:2].repeat(B, axis=0)
        yield partial(np.take, lm.fast_tables[0], self.codes, 0, pair.x.numpy()[B:], "clip")
        for layer, block in enumerate(lm.fast_matrices):
            past, values = self.past[layer], pair.kv[1, :B]
            yield from pair.heads(block, turns)
            yield partial(np.copyto, past[:, :, :, 0], pair.kv[:, :B])
            yield partial(np.copyto, past[:, :, :, 1], pair.kv[:, B:])
            # Position 0 sees itself alone.
            yield partial(np.copyto, pair.attended_heads.numpy()[:B], values[:, :, None])
            yield from self._attend(layer, 2, pair.q.numpy()[B:], pair.attended_heads.numpy()[B:])
            yield from pair.rest(block)
        yield from lm.fast_heads[0].into(pair.x[B:], self.logits, pair.scratch)

    def _pass(self, position: int) -> Iterator[Call]:
        """`codes` of the codebook before to `logits` of that of `position`."""
        lm, rows = self.lm, self.rows
        yield partial(np.take, lm.fast_tables[position - 1], self.codes, 0, rows.x.numpy(), "clip")
        for layer, block in enumerate(lm.fast_matrices):
            yield from rows.heads(block, lm.fast_turns[position])
            yield partial(np.copyto, self.past[layer, :, :, :, position], rows.kv)
            yield from self._attend(layer, position + 1, rows.q.numpy(), rows.attended_heads.numpy())
            yield from rows.rest(block)
        yield from lm.fast_heads[position - 1].into(rows.x, self.logits, rows.scratch)

    def _attend(self, layer: int, n: int, q: np.ndarray, attended: np.ndarray) -> Iterator[Call]:
        keys, values = self.past[layer, :, :, :, :n]
        scores = self.rows.scratch.zeros("scores", *q.shape[:-1], n)
        yield partial(np.matmul, q, keys.swapaxes(-1, -2), scores.numpy())
        yield partial(torch._softmax, scores, -1, False, out=scores)
        yield partial(np.matmul, scores.numpy(), values, attended)

    def frames(self, out: StepOutput, samplers: Sequence[SamplerState], recent: np.ndarray) -> np.ndarray:
        """The next frames [B, R]; `recent` [B, W, R] are those before."""
        lm, spec, draw, codes = self.lm, self.lm.spec, self.draw, self.codes
        draw.begin(samplers, recent)
        index = draw.main(out.logits.numpy().copy(), spec.semantic_begin_id)
        is_end = index == spec.n_semantic
        frames = np.empty((len(index), spec.n_rows), np.int64)
        frames[:, 0] = np.where(is_end, spec.end_id, index + spec.semantic_begin_id)
        frames[:, 1] = codes[:] = np.where(is_end, lm.end_code, np.minimum(index, lm.config.codebook_size - 1))
        if self.passes:
            self.pair.x[: self.B].copy_(lm.fast_project_in(out.hidden))
        for k, calls in enumerate(self.passes, start=1):
            run(calls)
            frames[:, k + 1] = codes[:] = draw.code(self.logits.numpy(), k)
        if ADVANCE in out.aux:
            draw.advance(out.aux[ADVANCE].numpy(), samplers)
        return frames
