"""A `DualAR` over whole sequences at once, every next frame known: what training and fitting see. No memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.lm.blocks import causal_mask, masked_attend
from backend.lm.dual_ar import DualAR
from backend.nn.rope import rope_table


class TrainOutput(NamedTuple):
    """M positions whose label is a frame of sound have codes to predict, in the order of `DualAR.is_frame(labels)`."""

    token_logits: Tensor  # [B, S, V]
    codebook_logits: Tensor  # [M, K, codebook_size]
    aux: dict[str, Tensor]  # [B, S, classes]


def forward_train(
    lm: DualAR, tokens: Tensor, padding: Tensor | None = None, conditioning: Tensor | None = None,
    side: Tensor | None = None, labels: Tensor | None = None,
) -> TrainOutput:  # fmt: skip
    """Logits for `labels` [B, R, S], what each position of `tokens` [B, R, S] is followed by.

    `labels` None: the next position of `tokens`. `padding` [B, S] is true where there is nothing; `conditioning`
    is [B, conditioning_dim], `side` [B, S, n_side] the side ids each prediction is made with. Embeddings are
    scaled in our own family only: the published models were trained without.
    """
    if labels is None:
        labels = F.pad(tokens[:, :, 1:], (0, 1))
        labels[:, 0, -1] = -1
    x, normed = states(lm, tokens, padding, conditioning, side, is_scaled=lm.config.family == "phonogram")
    aux = {name: head(normed) for name, head in lm.aux_heads.items()}
    is_frame = lm.is_frame(labels)
    codes = labels[:, 1:].transpose(1, 2)[is_frame]
    hidden = lm.handed_on(x, normed)[is_frame]
    return TrainOutput(lm.vocabulary_logits(normed), frame_logits(lm, hidden, codes), aux)


def states(
    lm: DualAR, tokens: Tensor, padding: Tensor | None = None, conditioning: Tensor | None = None,
    side: Tensor | None = None, *, is_scaled: bool, dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The slow stack's states [B, S, D] over whole sequences, before and after the final norm; no memory.

    `dropout` is the share of the embedded inputs left out, in training only.
    """
    added = None if conditioning is None else lm.project_conditioning(conditioning)[:, None]
    x = F.dropout(lm.embed(tokens, side, added, is_scaled), dropout, lm.training)
    attend = masked_attend(None if padding is None else causal_mask(padding))
    positions = torch.arange(tokens.shape[2], device=x.device)[None]
    table = rope_table(positions, lm.config.head_dim, lm.config.rope_base)
    for index, layer in enumerate(lm.layers):
        x = layer(x, table, attend, index)
    return x, lm.norm(x)


def frame_logits(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """Logits [M, K, codebook_size] of every codebook in frames of `codes` [M, K], from hidden states [M, D]."""
    if lm.config.has_own_fast_tables:
        # The slow stack draws the first code; here it has no logits of its own.
        return F.pad(residual_logits(lm, hidden, codes), (0, 0, 1, 0))
    return lm.fast_output(lm.fast_norm(fast_states(lm, hidden, codes)))


def residual_logits(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """Logits [M, K - 1, codebook_size] of the codebooks after the first, in frames of `codes` [M, K]."""
    normed = lm.fast_norm(fast_states(lm, hidden, codes)[:, 1:])
    if not lm.config.has_own_fast_tables:
        return lm.fast_output(normed)
    return torch.stack([output(normed[:, k]) for k, output in enumerate(lm.fast_output)], dim=1)


def fast_states(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """The fast stack's states [M, K, D_fast] over whole frames of `codes` [M, K], before the norm; no memory."""
    # Several frames' codes in one look-up: codebook k's row of an own table is k tables down.
    offsets = torch.arange(codes.shape[1] - 1, device=codes.device) * lm.config.codebook_size
    before = codes[:, :-1] + offsets if lm.config.has_own_fast_tables else codes[:, :-1]
    embedded = lm.fast_embeddings(before).to(lm.dtype)
    x = torch.cat((lm.fast_project_in(hidden)[:, None].to(embedded.dtype), embedded), dim=1)
    config = lm.config
    table = rope_table(torch.arange(x.shape[1], device=x.device)[None], config.fast_head_dim, config.rope_base)
    attend = masked_attend(None)
    for index, layer in enumerate(lm.fast_layers):
        x = layer(x, table, attend, index)
    return x
