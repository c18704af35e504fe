"""A language model over delayed codebooks with cross attention to text: MusicGen's decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.lm.counter_rng import noise_keys
from backend.lm.delay_pattern import TO_PREDICT, delay_table, without_delays
from backend.lm.sampling import RowLimits, sample_ids
from backend.lm.sampling_options import SamplingOptions


@dataclass(frozen=True, slots=True)
class DelayLMConfig:
    """Sizes of a `DelayLM`. `text_dim` None: the text states already have `dim` and are not projected."""

    dim: int
    n_layers: int
    n_heads: int
    ffn_dim: int
    codebook_size: int
    delays: tuple[int, ...]
    text_dim: int | None = None

    @property
    def n_codebooks(self) -> int:
        return len(self.delays)


@dataclass(slots=True)
class DelayState:
    """Keys and values of B rows: `own` [L, 2, B, H, S, D/H] with `position` steps used, `text` of the prompt."""

    own: Tensor
    text: list[tuple[Tensor, Tensor]]
    text_bias: Tensor | None
    position: int = 0


class DelayBlock(nn.Module):
    """Pre-norm self attention, cross attention and a GELU network; no biases except in the norms."""

    def __init__(self, dim: int, n_heads: int, ffn_dim: int):
        super().__init__()
        self.n_heads = n_heads
        self.norm, self.cross_norm, self.ffn_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.qkv, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.cross_q, self.cross_kv = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.cross_out = nn.Linear(dim, dim, bias=False)
        self.up, self.down = nn.Linear(dim, ffn_dim, bias=False), nn.Linear(ffn_dim, dim, bias=False)

    def heads(self, x: Tensor) -> Tensor:
        """[B, S, D] -> [B, H, S, D/H]."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def text_keys(self, text: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.cross_kv(text).chunk(2, -1)
        return self.heads(keys), self.heads(values)

    def forward(self, x: Tensor, own: Tensor, text: tuple[Tensor, Tensor], bias: Tensor | None, start: int) -> Tensor:
        S = x.shape[1]
        q, k, v = map(self.heads, self.qkv(self.norm(x)).chunk(3, -1))
        own[0, :, :, start : start + S], own[1, :, :, start : start + S] = k, v
        keys, values = own[0, :, :, : start + S], own[1, :, :, : start + S]
        mask = None
        if S > 1:
            mask = torch.ones(S, start + S, dtype=torch.bool, device=x.device).tril(start)
        attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        attended = F.scaled_dot_product_attention(self.heads(self.cross_q(self.cross_norm(x))), *text, attn_mask=bias)
        x = x + self.cross_out(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


class DelayLM(nn.Module):
    """Predicts the next code of every codebook; the id `codebook_size` stands for places without a code.

    `masks_padding`: cross attention ignores padded text, as in transformers. Without it, padding takes part as zeros,
    as in audiocraft; the two differ for prompts of unequal length in one batch.
    """

    def __init__(self, config: DelayLMConfig, masks_padding: bool = True):
        super().__init__()
        self.config, self.masks_padding = config, masks_padding
        d, K, V = config.dim, config.n_codebooks, config.codebook_size
        self.embeddings = nn.ModuleList([nn.Embedding(V + 1, d) for _ in range(K)])
        self.text_project: nn.Module = nn.Identity() if config.text_dim is None else nn.Linear(config.text_dim, d)
        self.layers = nn.ModuleList([DelayBlock(d, config.n_heads, config.ffn_dim) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, K * V, bias=False)

    def init_state(self, text: Tensor, mask: Tensor, n_steps: int) -> DelayState:
        """Projects text states [B, L, text_dim] with `mask` [B, L] and reserves `n_steps` steps.

        A mask of zeros is the null condition of guidance.
        """
        B, c = text.shape[0], self.config
        text = self.text_project(text) * mask[..., None].to(text.dtype)
        bias = None
        if self.masks_padding:
            bias = torch.zeros(mask.shape, dtype=text.dtype, device=text.device)
            bias = bias.masked_fill(mask == 0, torch.finfo(text.dtype).min)[:, None, None]
        own = text.new_zeros(c.n_layers, 2, B, c.n_heads, n_steps, c.dim // c.n_heads)
        return DelayState(own, [layer.text_keys(text) for layer in self.layers], bias)

    def forward(self, inputs: Tensor, state: DelayState) -> Tensor:
        """Reads inputs [B, K, S] and returns logits [B, K, S, V]; advances `state`."""
        S = inputs.shape[2]
        x = torch.stack([table(inputs[:, k]) for k, table in enumerate(self.embeddings)]).sum(0)
        x = x + positions(state.position, S, self.config.dim).to(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, state.own[i], state.text[i], state.text_bias, state.position)
        state.position += S
        logits = self.head(self.norm(x))
        return logits.unflatten(-1, (self.config.n_codebooks, -1)).transpose(1, 2)

    def generate(
        self, text: Tensor, mask: Tensor, n_frames: int, seeds: Sequence[int], options: SamplingOptions,
        guidance: float = 3.0, prompt: Tensor | None = None, first_frame: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> Tensor:  # fmt: skip
        """Returns codes [B, K, T] for text states [B, L, text_dim], continuing `prompt` [B, K, P] to T = `n_frames`.

        Noise is a function of the row's seed and the step, counted from `first_frame`; `check` is called before each
        step and may raise. A guidance of 1 runs without the null condition.
        """
        B, delays = text.shape[0], self.config.delays
        if prompt is None:
            prompt = torch.zeros(B, len(delays), 0, dtype=torch.long, device=text.device)
        table = delay_table(prompt, n_frames, delays, self.config.codebook_size)
        is_guided = guidance != 1
        if is_guided:
            text, mask = torch.cat([text, torch.zeros_like(text)]), torch.cat([mask, torch.zeros_like(mask)])
        state = self.init_state(text, mask, table.shape[2])
        limits = RowLimits.of([options] * (B * len(delays)), text.device)
        streams = torch.arange(len(delays), device=text.device)
        row_seeds = torch.tensor(seeds, dtype=torch.long, device=text.device)
        start = 0
        for end in range(prompt.shape[2] + 1, table.shape[2]):
            check()
            inputs = table[:, :, start:end]
            logits = self(torch.cat([inputs, inputs]) if is_guided else inputs, state)[:, :, -1].float()
            if is_guided:
                told, untold = logits.chunk(2)
                logits = untold + guidance * (told - untold)
            steps = torch.full_like(row_seeds, first_frame + end - 1)
            ids = sample_ids(logits.flatten(0, 1), limits, noise_keys(row_seeds, steps, streams).flatten(0, 1))
            place = table[:, :, end]
            table[:, :, end] = torch.where(place == TO_PREDICT, ids.view(B, -1), place)
            start = end
        return without_delays(table, delays)


def positions(start: int, n: int, dim: int) -> Tensor:
    """Sinusoidal positions [n, dim] from `start` on: cosines, then sines."""
    half = dim // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000) / (half - 1)))
    angles = torch.arange(start, start + n, dtype=torch.float32)[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], -1)
