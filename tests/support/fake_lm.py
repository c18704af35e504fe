"""A minimal language model whose next frame depends only on everything its row has read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

END = 99
N_CODEBOOKS = 3
SIZE = 16


class FakePrompt(NamedTuple):
    tokens: Tensor
    conditioning: Tensor | None = None
    side: Tensor | None = None


class FakeOutput(NamedTuple):
    logits: Tensor
    hidden: Tensor
    aux: dict


class FakeSpec(NamedTuple):
    n_codebooks: int = N_CODEBOOKS
    end_id: int = END


class FakePrefix(NamedTuple):
    seen: int
    length: int
    size_bytes: int = 16


class FakeSampler:
    """Counts its own frames: the noise of a frame depends only on the seed and its number."""

    def __init__(self, seed: int, n_frames: int, attempt: int = 0, n_silent: int = 0):
        """`n_silent`: number of attempts that end at once."""
        self.seed, self.n_frames, self.drawn = seed, n_frames if attempt >= n_silent else 0, 0
        self.attempt, self.pointer = attempt, None
        self.next_attempt = lambda: FakeSampler(seed, n_frames, attempt + 1, n_silent)


class FakeState:
    def __init__(self, n_rows: int):
        self.seen, self.lengths = [0] * n_rows, [0] * n_rows

    def length(self, row: int) -> int:
        return self.lengths[row]

    def reset_row(self, row: int) -> None:
        self.seen[row] = self.lengths[row] = 0

    def copy_prefix(self, row: int) -> FakePrefix:
        return FakePrefix(self.seen[row], self.lengths[row])

    def load_prefix(self, row: int, prefix: FakePrefix) -> None:
        self.seen[row], self.lengths[row] = prefix.seen, prefix.length

    def read(self, row: int, column: list[int]) -> None:
        for value in column:
            self.seen[row] = (self.seen[row] * 31 + value + 1) % 1_000_003
        self.lengths[row] += 1


class FakeLM:
    """`batches` lists the number of rows of each step; `on_step` may raise."""

    spec = FakeSpec()

    def __init__(self, on_step=lambda rows: None):
        self.batches: list[int] = []
        self.n_prefilled = 0
        self.on_step = on_step

    def init_state(self, batch: int, max_frames: int) -> FakeState:
        return FakeState(batch)

    def prefill(self, prompt: FakePrompt, state: FakeState, row: int) -> FakeOutput:
        self.n_prefilled += prompt.tokens.shape[1]
        for column in prompt.tokens.T.tolist():
            state.read(row, column)
        return self._out(state, [row])

    def step(self, frames: Tensor, state: FakeState, rows, side=None) -> FakeOutput:
        self.on_step(rows)
        self.batches.append(len(rows))
        for row, column in zip(rows, frames.tolist(), strict=True):
            state.read(row, column)
        return self._out(state, rows)

    def sample(self, out: FakeOutput, samplers, state: FakeState, rows) -> Tensor:
        frames = []
        for seen, sampler in zip(out.hidden[:, 0].tolist(), samplers, strict=True):
            sampler.drawn += 1
            is_end = sampler.drawn > sampler.n_frames
            value = (seen * 7 + sampler.seed * 13 + sampler.drawn) % (SIZE**N_CODEBOOKS)
            codes = [value // SIZE**k % SIZE for k in range(N_CODEBOOKS)]
            frames.append([END if is_end else codes[0], *codes])
        return torch.tensor(frames)

    def _out(self, state: FakeState, rows) -> FakeOutput:
        hidden = torch.tensor([[state.seen[row]] for row in rows])
        return FakeOutput(torch.zeros(len(rows), 1), hidden, {})
