"""Teacher forcing: runs a `DualAR` over whole sequences without a cache, for training and voice adaptation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.lm.blocks import causal_mask, masked_attend
from backend.lm.dual_ar import DualAR
from backend.nn.rope import rope_table


def states(
    lm: DualAR, tokens: Tensor, padding: Tensor | None = None, conditioning: Tensor | None = None,
    side: Tensor | None = None, *, is_scaled: bool, dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Returns the slow stack's states [B, S, D] over whole sequences, before and after the final norm.

    `dropout` applies to the embedded inputs, in training only.
    """
    conditioning_states = None if conditioning is None else lm.project_conditioning(conditioning)[:, None]
    x = F.dropout(lm.embed(tokens, side, conditioning_states, is_scaled), dropout, lm.training)
    attend = masked_attend(None if padding is None else causal_mask(padding))
    positions = torch.arange(tokens.shape[2], device=x.device)[None]
    table = rope_table(positions, lm.config.head_dim, lm.config.rope_base)
    for index, layer in enumerate(lm.layers):
        x = layer(x, table, attend, index)
    return x, lm.norm(x)


def frame_logits(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """Returns logits [M, K, codebook_size] of every codebook in frames of `codes` [M, K], from hidden states [M, D]."""
    if lm.config.has_own_fast_tables:
        # The slow stack predicts the first code; here it has no logits.
        return F.pad(residual_logits(lm, hidden, codes), (0, 0, 1, 0))
    return lm.fast_output(lm.fast_norm(fast_states(lm, hidden, codes)))


def residual_logits(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """Returns logits [M, K - 1, codebook_size] of the codebooks after the first, in frames of `codes` [M, K]."""
    normed = lm.fast_norm(fast_states(lm, hidden, codes)[:, 1:])
    if not lm.config.has_own_fast_tables:
        return lm.fast_output(normed)
    return torch.stack([output(normed[:, k]) for k, output in enumerate(lm.fast_output)], dim=1)


def fast_states(lm: DualAR, hidden: Tensor, codes: Tensor) -> Tensor:
    """Returns the fast stack's states [M, K, D_fast] over whole frames of `codes` [M, K], before the norm."""
    # With one table per codebook, codebook k's entries start at k tables.
    offsets = torch.arange(codes.shape[1] - 1, device=codes.device) * lm.config.codebook_size
    previous = codes[:, :-1] + offsets if lm.config.has_own_fast_tables else codes[:, :-1]
    embedded = lm.fast_embeddings(previous).to(lm.dtype)
    x = torch.cat((lm.fast_project_in(hidden)[:, None].to(embedded.dtype), embedded), dim=1)
    config = lm.config
    table = rope_table(torch.arange(x.shape[1], device=x.device)[None], config.fast_head_dim, config.rope_base)
    attend = masked_attend(None)
    for index, layer in enumerate(lm.fast_layers):
        x = layer(x, table, attend, index)
    return x
