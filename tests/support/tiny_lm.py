"""Small random models of every kind."""

import torch

from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.spec import Prompt

SHARED = {
    "vocab_size": 90, "n_layer": 2, "n_head": 4, "n_local_heads": 2, "head_dim": 8, "dim": 32, "intermediate_size": 48,
    "max_seq_len": 200, "codebook_size": 24, "num_codebooks": 4, "n_fast_layer": 2, "fast_head_dim": 8,
    "semantic_begin_id": 60, "semantic_end_id": 83, "end_id": 7, "initializer_range": 0.15,
}  # fmt: skip
CONFIGS = {
    "v15": {"era": "v15", "tie_word_embeddings": False},
    "s1": {"era": "s1", "tie_word_embeddings": False, "attention_qk_norm": True, "fast_attention_qk_norm": False,
           "scale_codebook_embeddings": True},
    "s2": {"era": "s2", "attention_qk_norm": True, "scale_codebook_embeddings": True, "norm_fastlayer_input": True},
    "odd": {"era": "s1", "fast_dim": 20, "fast_n_head": 2, "fast_n_local_heads": 1, "attention_qkv_bias": True,
            "attention_o_bias": True, "fast_attention_qk_norm": True},
    "one codebook": {"era": "s2", "num_codebooks": 1},
    "phonogram": {"era": "phonogram", "side_sizes": [12, 12, 6], "conditioning_dim": 5, "aux": [["advance", 3]],
                  "scale_codebook_embeddings": True},
    "own tables": {"era": "phonogram", "fast_dim": 20, "has_own_fast_tables": True, "side_sizes": [12, 6]},
}  # fmt: skip


def tiny_lm(kind="s1", seed=0, **changes):
    torch.manual_seed(seed)
    model = DualAR(DualARConfig.from_dict({**SHARED, **CONFIGS[kind], **changes})).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def tiny_prompt(model, n_text=9, n_frames=6, seed=0):
    """Returns text, audio frames and text, with side ids and conditioning if the model has them."""
    spec, draw = model.spec, torch.Generator().manual_seed(seed)

    def integers(high, *shape):
        return torch.randint(high, shape, generator=draw)

    tokens = torch.zeros(spec.n_rows, n_text + n_frames, dtype=torch.long)
    tokens[0] = integers(spec.semantic_begin_id, n_text + n_frames)
    sound = slice(n_text // 2, n_text // 2 + n_frames)
    tokens[1, sound] = integers(spec.n_semantic, n_frames)
    tokens[0, sound] = spec.semantic_begin_id + tokens[1, sound]
    tokens[2:, sound] = integers(spec.n_residual, spec.n_codebooks - 1, n_frames)
    side = torch.stack([integers(n, tokens.shape[1]) for n in model.config.side_sizes], 1) if spec.n_side else None
    conditioning = torch.randn(spec.conditioning_dim, generator=draw) if spec.conditioning_dim else None
    return Prompt(tokens, conditioning, side)
