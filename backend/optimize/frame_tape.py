"""Frames of a small `DualAR` as calls bound once to buffers of B rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from backend.lm.base import StepOutput
from backend.lm.dual_ar import DualARState
from backend.lm.pointer import ADVANCE
from backend.lm.sampling import RowSampler
from backend.optimize.tape_draw import TapeDraw
from backend.optimize.tape_stack import Call, RowBuffers, run

if TYPE_CHECKING:
    from backend.lm.kv import SlotCache
    from backend.optimize.call_tape import TapedDualAR


class StepTape:
    """The slow stack for B rows: calls around the attention to pasts of any length."""

    def __init__(self, lm: TapedDualAR, B: int):
        blocks, n_ids = lm.slow_matrices, len(lm.offsets)
        self.lm, self.rows = lm, RowBuffers(blocks[0], B)
        self.ids = np.zeros((B, n_ids), np.int64)
        self.turns = np.zeros((B, *lm.slow_turns.shape[1:]), np.complex64)
        self.said = torch.zeros(B, len(lm.said_bias))
        self.start = list(self._start())
        self.before = [list(self.rows.heads(block, self.turns)) for block in blocks]
        self.after = [list(self.rows.rest(block)) for block in blocks]
        self.end = [*self.rows.norm(lm.norm), *lm.said.into(self.rows.normed, self.said)]
        self.keys, self.values = self.rows.kv
        self.q, self.attended = self.rows.q.numpy(), self.rows.attended_heads.numpy()

    def _start(self) -> Iterator[Call]:
        """x, from ids."""
        x, n_codes = self.rows.x.numpy(), 1 + self.lm.spec.n_codebooks
        found = np.zeros((*self.ids.shape, x.shape[1]), np.float32)
        yield partial(np.take, self.lm.table, self.ids, 0, found, "clip")
        if self.lm.code_scale == 1:
            yield partial(np.add.reduce, found, 1, None, x)
            return
        yield partial(np.add.reduce, found[:, :n_codes], 1, None, x)
        yield partial(np.multiply, x, np.float32(self.lm.code_scale), x)
        for column in range(n_codes, found.shape[1]):
            yield partial(np.add, x, found[:, column], x)

    def step(self, frames: np.ndarray, side: np.ndarray | None, state: DualARState, rows: Sequence[int]) -> StepOutput:
        n_codes, slow = frames.shape[1], state.slow
        np.add(frames, self.lm.offsets[:n_codes], out=self.ids[:, :n_codes])
        if side is not None:
            np.add(side, self.lm.offsets[n_codes:], out=self.ids[:, n_codes:])
        run(self.start)
        if state.conditioning is not None:
            x = self.rows.x.numpy()
            x += state.conditioning.numpy()[rows]
        positions = [slow.lengths[row] for row in rows]
        slow.reserve(1 + max(positions))
        np.take(self.lm.slow_turns, positions, 0, self.turns, "clip")
        pasts = [self._past(slow, row, position + 1) for row, position in zip(rows, positions, strict=True)]
        for layer, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            run(before)
            for i, (keys, values, scores) in enumerate(pasts):
                keys[layer, :, -1], values[layer, :, -1] = self.keys[i], self.values[i]
                # NumPy's products of one row with a past take half the time of PyTorch's.
                weights = scores.numpy()
                np.matmul(self.q[i], keys[layer].swapaxes(-1, -2), weights)
                torch._softmax(scores, -1, False, out=scores)
                np.matmul(weights, values[layer], self.attended[i])
            run(after)
        run(self.end)
        for row in rows:
            slow.lengths[row] += 1
        return self.lm.say(self.rows, self.said)

    def _past(self, slow: SlotCache, row: int, n_frames: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Keys and values [L, H_kv, n, d] of a row with its new frame, and room for a layer's scores [H_kv, r, n]."""
        keys, values = (cache.numpy()[:, row, :, :n_frames] for cache in (slow.keys, slow.values))
        return keys, values, torch.empty(*self.q.shape[1:-1], n_frames)


class FrameTape:
    """The fast stack for B rows: one list of calls a position of the frame."""

    def __init__(self, lm: TapedDualAR, B: int):
        blocks, spec = lm.fast_matrices, lm.spec
        first = blocks[0]
        self.lm, self.rows = lm, RowBuffers(first, B)
        self.codes = np.zeros(B, np.int64)
        self.logits = torch.zeros(B, spec.n_residual)
        self.past = np.zeros((len(blocks), 2, B, first.n_kv_heads, spec.n_codebooks, first.head_dim), np.float32)
        self.passes = [list(self._pass(position)) for position in range(spec.n_codebooks)]
        self.draw = TapeDraw(B, spec.n_codebooks, max(spec.n_legal, spec.n_residual), spec.era)

    def _pass(self, position: int) -> Iterator[Call]:
        """Position 0 takes x as it is; the others take `codes` of the codebook before and give `logits` of theirs."""
        lm, rows, blocks = self.lm, self.rows, self.lm.fast_matrices
        if position:
            yield partial(np.take, lm.fast_tables[position - 1], self.codes, 0, rows.x.numpy(), "clip")
        for layer, block in enumerate(blocks):
            yield from rows.heads(block, lm.fast_turns[position])
            yield partial(np.copyto, self.past[layer, :, :, :, position], rows.kv)
            if position or block is not blocks[-1]:
                yield from self._attend(layer, position + 1)
                yield from rows.rest(block)
        if position:
            yield from rows.norm(lm.fast_norm)
            yield from lm.fast_heads[position - 1].into(rows.normed, self.logits)

    def _attend(self, layer: int, n: int) -> Iterator[Call]:
        keys, values = self.past[layer, :, :, :, :n]
        q, attended = self.rows.q.numpy(), self.rows.attended_heads.numpy()
        scores = torch.zeros(*q.shape[:-1], n)
        yield partial(np.matmul, q, keys.swapaxes(-1, -2), scores.numpy())
        yield partial(torch._softmax, scores, -1, False, out=scores)
        yield partial(np.matmul, scores.numpy(), values, attended)

    def frames(self, out: StepOutput, samplers: Sequence[RowSampler], recent: np.ndarray) -> np.ndarray:
        """The next frames [B, R]; `recent` [B, W, R] are those before."""
        lm, spec, draw, codes = self.lm, self.lm.spec, self.draw, self.codes
        draw.begin(samplers, recent)
        index = draw.main(out.logits.numpy().copy(), spec.semantic_begin_id)
        is_end = index == spec.n_semantic
        frames = np.empty((len(index), spec.n_rows), np.int64)
        frames[:, 0] = np.where(is_end, spec.end_id, index + spec.semantic_begin_id)
        frames[:, 1] = codes[:] = np.where(is_end, lm.end_code, np.minimum(index, lm.config.codebook_size - 1))
        if spec.n_codebooks > 1:
            self.rows.x.copy_(lm.fast_project_in(out.hidden))
            run(self.passes[0])
        for k in range(1, spec.n_codebooks):
            run(self.passes[k])
            frames[:, k + 1] = codes[:] = draw.code(self.logits.numpy(), k)
        if ADVANCE in out.aux:
            draw.advance(out.aux[ADVANCE].numpy(), samplers)
        return frames
