"""Sampling the next id from logits [B, V], each row by its own options.

As in the published models, top-p looks at the raw logits, before the temperature, and drops the id that crosses the
threshold along with those behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.lm.base import SamplerState
from backend.lm.counter_rng import exponential, noise_keys
from backend.lm.sampling_options import RAS_FRAMES, SamplingOptions
from backend.lm.spec import ModelFamily

# What the second candidate of repetition-aware sampling is drawn with.
RAS_TEMPERATURE, RAS_TOP_P = 1.0, 0.9
# Usually all that top-p keeps is among these: sorting 4 097 ids takes a processor ten times longer.
N_BEST = 64
# Up to so many ids, all of them are looked at: the best few are not worth a look of their own.
MAX_SWIFT = 2048


class RowLimits(NamedTuple):
    """Options of B rows, side by side: each [B, 1]. None: no row uses it."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor | None
    min_p: Tensor | None
    is_greedy: bool  # all rows are

    @classmethod
    def of(cls, options: Sequence[SamplingOptions], device: torch.device | str) -> RowLimits:
        temperature, top_p, top_k, min_p = (
            torch.tensor(values, dtype=torch.float32, device=device)[:, None]
            for values in zip(*(o.limits for o in options), strict=True)
        )
        is_limited = any(o.top_k is not None or o.is_greedy for o in options)
        has_least = any(o.min_p for o in options)
        return cls(
            temperature, top_p, top_k if is_limited else None, min_p if has_least else None,
            all(o.is_greedy for o in options),
        )  # fmt: skip

    def for_ras(self) -> RowLimits:
        """What second candidates are drawn with; the other limits stay."""
        return self._replace(
            temperature=torch.full_like(self.temperature, RAS_TEMPERATURE),
            top_p=torch.full_like(self.top_p, RAS_TOP_P),
        )


def penalize(logits: Tensor, recent: Tensor, penalty: Tensor) -> Tensor:
    """Logits with the ids `recent` [B, W] made less likely by `penalty` [B, 1]; ids of -1 stand for nothing."""
    B, V = logits.shape
    seen = torch.zeros(B, V + 1, dtype=torch.bool, device=logits.device)
    seen.scatter_(1, torch.where(recent < 0, V, recent), True)
    return torch.where(seen[:, :V], torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def limit(logits: Tensor, limits: RowLimits, n_best: int | None = None) -> tuple[Tensor, Tensor]:
    """Scores [B, V] divided by the temperature, likeliest first, dropped ones at -inf; and the ids they belong to.

    `n_best`: only so many of each row, where the rest is known to be dropped.
    """
    if n_best is None:
        ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(dim=-1)
    else:
        ordered, ids = logits.topk(n_best, dim=-1)
        probabilities = logits.softmax(dim=-1).gather(1, ids)
    dropped = _dropped(ordered, probabilities, limits)
    return (ordered / limits.temperature).masked_fill_(dropped, -torch.inf), ids


def _dropped(ordered: Tensor, probabilities: Tensor, limits: RowLimits) -> Tensor:
    """Which of the values [B, n], likeliest first, are out of the race."""
    dropped = probabilities.cumsum(dim=-1) > limits.top_p
    if limits.top_k is not None:
        dropped |= torch.arange(ordered.shape[-1], device=ordered.device) >= limits.top_k
    if limits.min_p is not None:
        dropped |= probabilities < limits.min_p * probabilities[:, :1]
    dropped[:, 0] = False
    return dropped


def sample_ids(logits: Tensor, limits: RowLimits, keys: Tensor) -> Tensor:
    """One id a row [B] from float32 `logits` [B, V], with the noise of `keys` [B, 2]."""
    if limits.is_greedy:
        return logits.argmax(dim=-1)
    # Looking at values costs nothing on a processor; on a device it would wait for it.
    if logits.shape[-1] <= 4 * N_BEST or logits.device.type != "cpu":
        return _exponential_race(*limit(logits, limits), keys)
    if logits.shape[-1] <= MAX_SWIFT:
        return _fast_exponential_race(logits, limits, keys)
    scores, ids = limit(logits, limits, N_BEST)
    winners, is_enough = _exponential_race(scores, ids, keys), scores[:, -1] == -torch.inf
    if bool(is_enough.all()):
        return winners
    # Each row by itself: which way it goes must not depend on its neighbors, since the two break ties differently.
    return torch.where(is_enough, winners, _fast_exponential_race(logits, limits, keys))


def _fast_exponential_race(logits: Tensor, limits: RowLimits, keys: Tensor) -> Tensor:
    """What `_exponential_race(*limit(logits, limits), keys)` gives, on a processor.

    Only values are sorted, not ids along with them: where the kept ones end is all that must be known. Of the built-in
    voice's draws three of four need more than 64 ids; for 8 rows of 1,024 they take 0.5 ms this way and 1.3 ms sorted.
    """
    ordered = torch.from_numpy(np.sort(logits.detach().numpy(), axis=-1)).flip(-1)
    n_kept = (~_dropped(ordered, ordered.softmax(dim=-1), limits)).sum(dim=-1, keepdim=True)
    is_kept = logits >= ordered.gather(1, n_kept - 1)
    if bool((is_kept.sum(dim=-1, keepdim=True) != n_kept).any()):
        # Equal values on both sides of the end: the order of ids decides.
        return _exponential_race(*limit(logits, limits), keys)
    scores = (logits / limits.temperature).masked_fill_(~is_kept, -torch.inf)
    ids = torch.arange(logits.shape[-1]).expand(logits.shape)
    return (scores - exponential(keys, ids).log_()).argmax(dim=-1)


def _exponential_race(scores: Tensor, ids: Tensor, keys: Tensor) -> Tensor:
    """Of exponential waiting times with rates p the shortest is that of id i with probability p_i: the winners [B].

    In logarithms, so that nothing needs normalizing.
    """
    winner = (scores - exponential(keys, ids).log_()).argmax(dim=-1, keepdim=True)
    return ids.gather(1, winner)[:, 0]


def probabilities(logits: Tensor, options: SamplingOptions, recent: Tensor | None = None) -> Tensor:
    """What `draw` draws from: probabilities [B, V] under one set of options, after a penalty on `recent` [B, W]."""
    logits = logits.float()
    if recent is not None:
        logits = penalize(logits, recent, torch.tensor([[options.repetition_penalty]], device=logits.device))
    scores, ids = limit(logits, RowLimits.of([options], logits.device))
    return torch.zeros_like(logits).scatter_(1, ids, scores.softmax(dim=-1))


class FrameSampling:
    """Everything the decisions of one frame need: limits, penalties and noise of B rows.

    Streams: 0 the main id, k = 1 ... K - 1 the residual codes, then the second candidate of the main id, then the
    pointer.
    """

    def __init__(self, samplers: Sequence[SamplerState], recent: Tensor, n_codebooks: int, family: ModelFamily):
        device = recent.device
        options = [sampler.options for sampler in samplers]
        self.limits = RowLimits.of(options, device)
        self.recent = recent  # [B, W, R], newest last, -1 where nothing was said yet
        self.n_codebooks = n_codebooks
        place = torch.tensor([[s.noise_seed, s.frame] for s in samplers], dtype=torch.long, device=device)
        streams = torch.arange(n_codebooks + 2, device=device)
        self.keys = noise_keys(place[:, 0], place[:, 1], streams)
        penalties = [o.repetition_penalty for o in options]
        self.penalty = None
        if any(penalty != 1 for penalty in penalties):
            self.penalty = torch.tensor(penalties, dtype=torch.float32, device=device)[:, None]
        # Rows with a pointer end where their text does.
        self.is_endless = None
        if any(s.pointer is not None for s in samplers):
            self.is_endless = torch.tensor([s.pointer is not None for s in samplers], device=device)
        uses_ras = [o.uses_ras(family) and not o.is_greedy for o in options]
        self.ras = torch.tensor(uses_ras, device=device) if any(uses_ras) else None

    def main(self, logits: Tensor, semantic_begin_id: int) -> Tensor:
        """Index into the legal ids [B], for `logits` [B, n_legal]."""
        logits = logits.float()
        if self.is_endless is not None:
            logits = logits.clone()
            logits[:, -1].masked_fill_(self.is_endless, -torch.inf)
        said = self.recent[:, :, 0] - semantic_begin_id
        said = torch.where(self.recent[:, :, 0] < 0, -1, said)
        if self.penalty is not None:
            logits = penalize(logits, said, self.penalty)
        index = sample_ids(logits, self.limits, self._keys(0))
        if self.ras is not None:
            # Ends are never in the window: a row that said one is finished.
            repeated = (said[:, -RAS_FRAMES:] == index[:, None]).any(dim=1) & self.ras
            index = torch.where(
                repeated, sample_ids(logits, self.limits.for_ras(), self._keys(self.n_codebooks)), index
            )
        return index

    def code(self, logits: Tensor, codebook: int) -> Tensor:
        """Codes [B] of a residual codebook."""
        logits = logits.float()
        if self.penalty is not None:
            logits = penalize(logits, self.recent[:, :, codebook + 1], self.penalty)
        return sample_ids(logits, self.limits, self._keys(codebook))

    def advance(self, logits: Tensor, samplers: Sequence[SamplerState]) -> None:
        """Move the pointers of the rows that have one, by what `logits` [B, classes] say."""
        limits = RowLimits.of([s.options.pointer for s in samplers], logits.device)
        move_pointers(samplers, self.moves(logits, limits).tolist())

    def moves(self, logits: Tensor, limits: RowLimits) -> Tensor:
        """By how many phonemes [B] the pointers move."""
        return sample_ids(logits.float(), limits, self._keys(self.n_codebooks + 1))

    def _keys(self, stream: int) -> Tensor:
        return self.keys[:, stream]


def move_pointers(samplers: Sequence[SamplerState], moves: Sequence[int]) -> None:
    """Move the pointers of the rows that have one, each by its number of phonemes."""
    for sampler, n_phonemes in zip(samplers, moves, strict=True):
        if sampler.pointer is not None:
            sampler.pointer.advance(n_phonemes)
