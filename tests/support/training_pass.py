"""A training pass of a `DualAR` that predicts every token and code."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from backend.lm.dual_ar import DualAR
from backend.lm.teacher_forcing import frame_logits, states


class TrainOutput(NamedTuple):
    """Predictions of a training pass. M counts the labels that are audio frames, in the order of
    `DualAR.is_frame(labels)`.
    """

    token_logits: Tensor  # [B, S, V]
    codebook_logits: Tensor  # [M, K, codebook_size]
    aux: dict[str, Tensor]  # [B, S, classes]


def forward_train(
    lm: DualAR, tokens: Tensor, padding: Tensor | None = None, conditioning: Tensor | None = None,
    side: Tensor | None = None, labels: Tensor | None = None,
) -> TrainOutput:  # fmt: skip
    """Returns logits for `labels` [B, R, S], the successors of `tokens` [B, R, S].

    `labels` None: the next position of `tokens`. `padding` [B, S] is true at padding; `conditioning` is [B,
    conditioning_dim], `side` [B, S, n_side] the side ids of each prediction. Embeddings are scaled in the `phonogram`
    family only: the published models were trained without scaling.
    """
    if labels is None:
        labels = F.pad(tokens[:, :, 1:], (0, 1))
        labels[:, 0, -1] = -1
    x, normed = states(lm, tokens, padding, conditioning, side, is_scaled=lm.config.family == "phonogram")
    aux = {name: head(normed) for name, head in lm.aux_heads.items()}
    is_frame = lm.is_frame(labels)
    codes = labels[:, 1:].transpose(1, 2)[is_frame]
    hidden = lm.fast_input(x, normed)[is_frame]
    return TrainOutput(lm.vocabulary_logits(normed), frame_logits(lm, hidden, codes), aux)
