"""Values exchanged between language models and their callers: model spec, prompts, outputs and prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

ModelFamily = Literal["v15", "s1", "s2", "phonogram"]


@dataclass(frozen=True, slots=True)
class LMSpec:
    """Describes a language model to its callers.

    A position is a column of R = 1 + n_codebooks numbers: row 0 the main id, rows 1... the codes (0 for text). An audio
    frame's main id is `semantic_begin_id` + its first code; `end_id` ends the speech. Residual codes, those after the
    first, are below `n_residual`. `max_frames` bounds prompt and frames together.
    """

    name: str
    family: ModelFamily
    n_codebooks: int
    codebook_size: int
    vocab_size: int
    semantic_begin_id: int
    semantic_end_id: int
    end_id: int
    max_frames: int
    dim: int
    n_residual: int
    n_side: int = 0
    conditioning_dim: int = 0
    aux: tuple[tuple[str, int], ...] = ()

    @property
    def n_rows(self) -> int:
        return 1 + self.n_codebooks

    @property
    def n_semantic(self) -> int:
        return self.semantic_end_id - self.semantic_begin_id + 1

    @property
    def n_legal(self) -> int:
        """Number of main ids a model may output: the semantic range, then the end."""
        return self.n_semantic + 1


class Prompt(NamedTuple):
    """A row's input before generation. `side[s]` and `conditioning` are for models that use them."""

    tokens: Tensor  # [R, S], int64
    conditioning: Tensor | None = None  # [spec.conditioning_dim]
    side: Tensor | None = None  # [S, n_side], int64


class StepOutput(NamedTuple):
    """A model's prediction of the next frame of each row."""

    logits: Tensor  # [B, n_legal]: index i < n_semantic is main id semantic_begin_id + i, the last one is end_id
    hidden: Tensor  # [B, D], input of the fast stack
    aux: dict[str, Tensor]  # [B, classes] by name


@dataclass(frozen=True, slots=True)
class RowPrefix:
    """The first frames of a row, reusable by other rows: keys and values [L, H_kv, n, d], and conditioning."""

    keys: Tensor
    values: Tensor
    conditioning: Tensor | None = None

    @property
    def n_frames(self) -> int:
        return self.keys.shape[2]

    @property
    def size_bytes(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()
