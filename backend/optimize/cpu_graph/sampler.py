"""Sampling of a frame for a few rows on CPU, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from backend.lm.base import SamplerState
from backend.lm.counter_rng import SamplingNoise
from backend.lm.sampling import RowLimits, limit, penalize
from backend.lm.sampling_options import RAS_FRAMES, SamplingOptions
from backend.lm.spec import ModelFamily


class CpuGraphSampler:
    """Samples like `FrameSampling` for B rows, with the same noise; call `start` before each frame."""

    def __init__(self, B: int, n_codebooks: int, n_ids: int, family: ModelFamily):
        self.n_codebooks, self.family = n_codebooks, family
        self.noise = SamplingNoise(B, range(n_codebooks + 2), n_ids)
        self.rows = np.arange(B)

    def start(self, samplers: Sequence[SamplerState], recent: np.ndarray) -> None:
        """Sets the noise and options of a frame. `recent` [B, W, R]: the last frames of each row, -1 where there is
        none.
        """
        self.waits = self.noise.log_waits([(s.noise_seed, s.frame) for s in samplers])
        self.limits = _batch_limits(tuple(s.options for s in samplers), self.family)
        self.recent = recent
        self.pointer_rows = [i for i, sampler in enumerate(samplers) if sampler.pointer is not None]

    def main(self, logits: np.ndarray, semantic_begin_id: int) -> np.ndarray:
        """Samples indices into the legal ids [B] from `logits` [B, n_legal], which may be overwritten."""
        # Rows with a pointer end at the end of their text, not by the end token.
        logits[self.pointer_rows, -1] = -np.inf
        limits = self.limits
        if limits.penalty is None and limits.ras is None:
            return self._sample(logits, limits.limits, 0)
        previous = self.recent[:, :, 0] - semantic_begin_id
        previous[self.recent[:, :, 0] < 0] = -1
        index = self._sample(self._penalized(logits, previous), limits.limits, 0)
        if limits.ras is not None:
            second = self._sample(self._penalized(logits, previous), limits.ras_limits, self.n_codebooks)
            index = np.where((previous[:, -RAS_FRAMES:] == index[:, None]).any(axis=1) & limits.ras, second, index)
        return index

    def code(self, logits: np.ndarray, codebook: int) -> np.ndarray:
        """Samples codes [B] of a residual codebook from `logits` [B, n_residual]."""
        if self.limits.penalty is not None:
            logits = self._penalized(logits, self.recent[:, :, codebook + 1])
        return self._sample(logits, self.limits.limits, codebook)

    def advance(self, logits: np.ndarray, samplers: Sequence[SamplerState]) -> None:
        """Samples the pointer moves from `logits` [B, classes] and applies them."""
        steps = self._sample(logits, self.limits.pointer_limits, self.n_codebooks + 1).tolist()
        for sampler, n_phonemes in zip(samplers, steps, strict=True):
            if sampler.pointer is not None:
                sampler.pointer.advance(n_phonemes)

    def _penalized(self, logits: np.ndarray, previous: np.ndarray) -> np.ndarray:
        if self.limits.penalty is None:
            return logits
        return penalize(torch.from_numpy(logits), torch.from_numpy(previous), self.limits.penalty).numpy()

    def _sample(self, logits: np.ndarray, limits: _Limits, stream: int) -> np.ndarray:
        if limits.is_greedy:
            return logits.argmax(axis=-1)
        descending = np.negative(np.sort(np.negative(logits), axis=-1))
        likely = torch.from_numpy(descending).softmax(dim=-1)
        n_kept = np.add.reduce(likely.cumsum(dim=-1).numpy() <= limits.top_p, -1, keepdims=True)
        if limits.top_k is not None:
            n_kept = np.minimum(n_kept, limits.top_k)
        if limits.min_p is not None:
            n_likely = (likely.numpy() >= limits.min_p * likely.numpy()[:, :1]).sum(axis=-1, keepdims=True)
            n_kept = np.minimum(n_kept, n_likely)
        n_kept = np.maximum(n_kept, 1)
        dropped = logits < descending[self.rows, n_kept[:, 0] - 1][:, None]
        scores = logits / limits.temperature
        scores -= self.waits[:, stream, : logits.shape[1]]
        if np.count_nonzero(dropped) + int(n_kept.sum()) == dropped.size:
            np.copyto(scores, -np.inf, where=dropped)
            return scores.argmax(axis=-1)
        # Ties at the cutoff: the order of ids decides.
        kept, ids = limit(torch.from_numpy(logits), limits.whole)
        scores[torch.zeros_like(kept).scatter_(1, ids, kept).numpy() == -np.inf] = -np.inf
        return scores.argmax(axis=-1)


class _Limits(NamedTuple):
    """`RowLimits` as arrays [B, 1]."""

    temperature: np.ndarray
    top_p: np.ndarray
    top_k: np.ndarray | None
    min_p: np.ndarray | None
    is_greedy: bool
    whole: RowLimits

    @classmethod
    def of(cls, limits: RowLimits) -> _Limits:
        top_k = None if limits.top_k is None else limits.top_k.long().numpy()
        min_p = None if limits.min_p is None else limits.min_p.numpy()
        return cls(limits.temperature.numpy(), limits.top_p.numpy(), top_k, min_p, limits.is_greedy, limits)


class _BatchLimits(NamedTuple):
    """Combined options of B rows. `penalty` and `ras` None: no row uses it."""

    limits: _Limits
    ras_limits: _Limits
    pointer_limits: _Limits
    penalty: torch.Tensor | None
    ras: np.ndarray | None


@lru_cache(maxsize=64)
def _batch_limits(options: tuple[SamplingOptions, ...], family: ModelFamily) -> _BatchLimits:
    limits = RowLimits.of(options, "cpu")
    pointer_limits = RowLimits.of([o.pointer for o in options], "cpu")
    penalty, ras = None, np.array([o.uses_ras(family) and not o.is_greedy for o in options])
    if any(o.repetition_penalty != 1 for o in options):
        penalty = torch.tensor([[o.repetition_penalty] for o in options], dtype=torch.float32)
    return _BatchLimits(
        _Limits.of(limits), _Limits.of(limits.for_ras()), _Limits.of(pointer_limits), penalty,
        ras if ras.any() else None,
    )  # fmt: skip
