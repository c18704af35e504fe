"""The contract of a language model over codes, and the state of its samplers."""

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
    """The memory of a batch of rows. Rows are independent; each is as long as what it was told and has said."""

    def length(self, row: int) -> int: ...

    def reset_row(self, row: int) -> None: ...

    def copy_prefix(self, row: int, n_frames: int | None = None) -> RowPrefix: ...

    def load_prefix(self, row: int, prefix: RowPrefix) -> None: ...


class FrameSampler(Protocol):
    """Draws frames from what a model thinks of them: the model itself, or the fast stack of one voice."""

    def sample_frames(
        self, out: StepOutput, samplers: Sequence[SamplerState], state: Any, rows: Sequence[int]
    ) -> Tensor: ...  # fmt: skip


@dataclass(slots=True)
class SamplerState:
    """One row's options and place in its noise. `frame` counts the frames drawn; `attempt` picks other noise.

    `frame_sampler` is the fast stack of a voice that has its own; the others take the model's.
    """

    options: SamplingOptions
    seed: int = 0
    attempt: int = 0
    frame: int = 0
    pointer: Pointer | None = None
    frame_sampler: FrameSampler | None = None

    @property
    def noise_seed(self) -> int:
        """The seed of this attempt as a signed 64-bit number."""
        mixed = (self.seed + self.attempt * 0x9E3779B97F4A7C15) & _MASK64
        return mixed - (1 << 64) if mixed >> 63 else mixed

    def again(self) -> SamplerState:
        """The same row from its start, with other noise."""
        pointer = None if self.pointer is None else self.pointer.restarted()
        return replace(self, attempt=self.attempt + 1, frame=0, pointer=pointer)


class TokenLM(Protocol):
    """The seam every language model is used through.

    Each row attends over exactly its own past, so a row says the same alone, in any batch, and however its prompt
    was cut into pieces.
    """

    @property
    def spec(self) -> LMSpec: ...

    def init_state(self, batch: int, max_frames: int) -> LMState: ...

    def prefill(self, prompt: Prompt, state: Any, row: int) -> StepOutput: ...

    def step(self, frames: Tensor, state: Any, rows: Sequence[int], side: Tensor | None = None) -> StepOutput: ...

    def sample(self, out: StepOutput, samplers: Sequence[SamplerState], state: Any, rows: Sequence[int]) -> Tensor: ...
