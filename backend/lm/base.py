"""The interface of a token language model, and the per-row sampler state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import LMSpec, Prompt, RowPrefix, StepOutput
from backend.lm.text_pointer import Pointer

_MASK64 = (1 << 64) - 1


class LMState(Protocol):
    """The cached state of a batch of independent rows, each with its own length."""

    def length(self, row: int) -> int: ...

    def reset_row(self, row: int) -> None: ...

    def copy_prefix(self, row: int, n_frames: int | None = None) -> RowPrefix: ...

    def load_prefix(self, row: int, prefix: RowPrefix) -> None: ...


class FrameSampler(Protocol):
    """Samples frames from a step output: the model itself, or the fast stack of an adapted voice."""

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: Any, rows: Sequence[int]
    ) -> Tensor: ...  # fmt: skip


@dataclass(slots=True)
class SamplerState:
    """One row's sampling options and its position in the random stream.

    `frame` counts the sampled frames; another `attempt` uses other noise. `frame_sampler` is the fast stack of an
    adapted voice; None uses the model's.
    """

    options: SamplingOptions
    seed: int = 0
    attempt: int = 0
    frame: int = 0
    pointer: Pointer | None = None
    frame_sampler: FrameSampler | None = None

    @property
    def noise_seed(self) -> int:
        """Seed of this attempt as a signed 64-bit integer."""
        mixed = (self.seed + self.attempt * 0x9E3779B97F4A7C15) & _MASK64
        return mixed - (1 << 64) if mixed >> 63 else mixed

    def next_attempt(self) -> SamplerState:
        """Returns the same row's state at its start, with other noise."""
        pointer = None if self.pointer is None else self.pointer.restart()
        return replace(self, attempt=self.attempt + 1, frame=0, pointer=pointer)


class TokenLM(Protocol):
    """The interface of every language model.

    Each row attends to its own past only, so its output does not depend on the batch it runs in or on how its prompt
    was split into prefills.
    """

    @property
    def spec(self) -> LMSpec: ...

    def init_state(self, batch: int, max_frames: int) -> LMState: ...

    def prefill(self, prompt: Prompt, state: Any, row: int) -> StepOutput: ...

    def step(self, frames: Tensor, state: Any, rows: Sequence[int], side: Tensor | None = None) -> StepOutput: ...

    def sample(self, out: StepOutput, samplers: Sequence[SamplerState], state: Any, rows: Sequence[int]) -> Tensor: ...
