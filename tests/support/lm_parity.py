"""Small models and comparisons for optimizations of a language model."""

import torch

from backend.lm.base import SamplerState
from backend.lm.sampling_options import SamplingOptions
from tests.support.tiny_lm import tiny_lm, tiny_prompt

KINDS = ("v15", "s1", "s2", "odd", "one codebook", "phonogram")
# Multiples of 32 inputs, which 4-bit matmuls need.
SHAPES = {"intermediate_size": 64, "fast_dim": 32, "fast_head_dim": 16}


def model(kind, seed=0):
    return tiny_lm(kind, seed, **SHAPES).narrow_head()


def next_logits(lm, n_steps=4):
    """Logits [1 + n_steps, L] after a prompt and fixed frames."""
    state = lm.init_state(1)
    prompt = tiny_prompt(lm)
    found = [lm.prefill(prompt, state, 0).logits]
    for k in range(n_steps):
        side = None if prompt.side is None else prompt.side[k : k + 1]
        found.append(lm.step(frames(lm, k), state, [0], side).logits)
    return torch.cat(found)


def frames(lm, *seeds):
    return torch.cat([tiny_prompt(lm, seed=seed).tokens[:, 6:7].T for seed in seeds])


def speech(lm, seeds, n_frames=5):
    """Frames [B, n, R] sampled for rows in one batch, each after a prompt of its own length."""
    state, rows = lm.init_state(len(seeds)), list(range(len(seeds)))
    outs = [lm.prefill(tiny_prompt(lm, n_text=5 + 3 * seed, seed=seed), state, row) for row, seed in enumerate(seeds)]
    out = type(outs[0])(*(torch.cat(parts) for parts in zip(*((o.logits, o.hidden) for o in outs), strict=True)), {})
    samplers = [SamplerState(SamplingOptions(), seed) for seed in seeds]
    sampled = []
    for _ in range(n_frames):
        sampled.append(lm.sample(out, samplers, state, rows))
        out = lm.step(sampled[-1], state, rows)
    return torch.stack(sampled, 1), out.logits


def cosine(a, b):
    return torch.cosine_similarity(a, b, dim=-1).min().item()
