"""A decoder-only transformer over the bytes of PCM, or over whole 16-bit samples, with a step that keeps its past."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backend.errors import BadCheckpoint
from backend.nn.transformer import TransformerState, WindowTransformer

ALPHABET_SIZE = 256
ALPHABET_SIZE_16BIT = 65536


@dataclass(frozen=True, slots=True)
class ByteLMConfig:
    """`window`: tokens a step sees; `n_recent`: tokens whose embeddings are added up, the newest and those before it.

    `n_phases`: bytes a sample has, so that high and low bytes are told apart; 1 where tokens are samples.
    """

    vocab_size: int = ALPHABET_SIZE
    dim: int = 64
    n_layers: int = 4
    n_heads: int = 8
    hidden_dim: int = 192
    window: int = 512
    n_recent: int = 8
    n_phases: int = 1

    def __post_init__(self) -> None:
        if self.vocab_size not in (ALPHABET_SIZE, ALPHABET_SIZE_16BIT):
            raise BadCheckpoint(f"The vocabulary has {self.vocab_size} tokens; expected 256 or 65536.")
        if self.dim % self.n_heads or self.dim // self.n_heads % 2:
            raise BadCheckpoint(f"{self.dim} dimensions do not split into {self.n_heads} heads of even width.")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class ByteLMState:
    """One batch of streams: the attention's past, the last tokens [B, n_recent] (newest last), and the step."""

    attention: TransformerState
    recent: Tensor
    n_steps: int = 0


class ByteLM(nn.Module):
    """Logits of the next token from those before it; token `vocab_size` stands before the first one."""

    def __init__(self, config: ByteLMConfig) -> None:
        super().__init__()
        self.config = config
        dim, self.begin = config.dim, config.vocab_size
        # One table for each of the last tokens: what a filter of a few taps sees, from the first step of training on.
        self.embed = nn.ModuleList(nn.Embedding(config.vocab_size + 1, dim) for _ in range(config.n_recent))
        self.phase = nn.Embedding(config.n_phases, dim)
        self.transformer = WindowTransformer(
            dim, config.n_layers, config.n_heads, dim // config.n_heads, config.hidden_dim, config.window
        )
        self.head = nn.Linear(dim, config.vocab_size)
        self._start_from_values()

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [B, S, V] of each of the tokens [B, S] given those before it."""
        B, S = tokens.shape
        n_recent = self.config.n_recent
        padded = torch.cat([tokens.new_full((B, n_recent), self.begin), tokens[:, :-1]], dim=1)
        recent = padded.unfold(1, n_recent, 1)  # [B, S, n_recent], newest last
        return self._logits(recent, torch.arange(S, device=tokens.device), None)

    def init_state(self, batch: int) -> ByteLMState:
        recent = torch.full((batch, self.config.n_recent), self.begin, device=self.phase.weight.device)
        return ByteLMState(self.transformer.init_state(batch), recent)

    def step(self, tokens: Tensor | None, state: ByteLMState) -> Tensor:
        """Logits [B, V] of the next token, after `tokens` [B] (None before the first). Mutates `state`."""
        if tokens is not None:
            state.recent = torch.cat([state.recent[:, 1:], tokens[:, None]], dim=1)
        position = torch.tensor([state.n_steps], device=state.recent.device)
        state.n_steps += 1
        return self._logits(state.recent[:, None], position, state.attention)[:, 0]

    def _logits(self, recent: Tensor, positions: Tensor, state: TransformerState | None) -> Tensor:
        x = self.phase(positions % self.config.n_phases)[None]
        for age, table in enumerate(self.embed):
            x = x + table(recent[:, :, self.config.n_recent - 1 - age])
        return self.head(self.transformer(x.transpose(1, 2), state).transpose(1, 2))

    @torch.no_grad()
    def _start_from_values(self) -> None:
        """Begin with tables in which near values are near: the network need not learn first that 7 is beside 8."""
        dim, V = self.config.dim, self.config.vocab_size
        value = (torch.arange(V) + 0.5) / V * 2 - 1
        waves = [value, value**2] + [
            wave(math.pi * value * 2.0**k) for k in range(dim // 4) for wave in (torch.sin, torch.cos) if 2**k <= V
        ]
        basis = torch.stack(waves[: dim // 2], dim=1)
        for age, table in enumerate(self.embed):
            table.weight.normal_(std=0.02)
            table.weight[:V, : basis.shape[1]] += basis / (1 + age)
        self.head.weight.mul_(0.1)
        self.head.weight[:, : basis.shape[1]] += 0.3 * basis
        self.head.bias.zero_()


def create_audio_transformer_config(use_16bit: bool = False, **changes: Any) -> ByteLMConfig:
    """A model over 8-bit samples, or over 16-bit ones with a vocabulary of 65,536."""
    return ByteLMConfig(vocab_size=ALPHABET_SIZE_16BIT if use_16bit else ALPHABET_SIZE, **changes)
