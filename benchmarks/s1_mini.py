"""Writes a checkpoint with openaudio-s1-mini's sizes and names and random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.weights.fish_lm import published_shapes

CONFIG = DualARConfig(
    family="s1", vocab_size=155_776, n_layer=28, dim=1024, n_head=16, n_local_heads=8, head_dim=128,
    intermediate_size=3072, rope_base=1e6, norm_eps=1e-6, max_seq_len=8192, tie_word_embeddings=False,
    attention_qk_norm=True, codebook_size=4096, num_codebooks=10, scale_codebook_embeddings=True, n_fast_layer=4,
    fast_head_dim=64, fast_attention_qk_norm=False, initializer_range=0.03125, semantic_begin_id=151_658,
    semantic_end_id=155_753, end_id=151_647,
)  # fmt: skip
BLOCK = 1 << 20


def write_checkpoint(path: Path) -> int:
    """Writes 860 M weights in bfloat16 as published; returns their number."""
    with torch.device("meta"):
        shapes = published_shapes(DualAR(CONFIG))
    noise = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).mul_(CONFIG.initializer_range).bfloat16()
    tensors = {}
    for index, (name, like) in enumerate(shapes.items()):
        tensor = torch.ones(like.shape, dtype=torch.bfloat16)
        if tensor.dim() > 1:
            # The same noise with a different offset in each matrix: speed does not depend on the values.
            for part in tensor.view(-1).split(BLOCK):
                part.copy_(noise.roll(7919 * index)[: len(part)])
        tensors[name] = tensor
    save_file(tensors, path)
    return sum(tensor.numel() for tensor in tensors.values())
