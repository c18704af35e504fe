"""Speaker encoder: a small network that turns the codes of a reference into a speaker embedding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    """`out_dim` is the language model's `conditioning_dim`."""

    n_codebooks: int
    codebook_size: int
    out_dim: int
    dim: int = 128
    n_layers: int = 3
    kernel: int = 5

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class SpeakerEncoder(nn.Module):
    """Maps codes of a reference to an embedding of length sqrt(out_dim). A zero embedding means no particular speaker."""

    def __init__(self, config: SpeakerConfig):
        super().__init__()
        self.config = config
        self.embeddings = nn.Embedding(config.n_codebooks * config.codebook_size, config.dim)
        self.convs = nn.ModuleList(
            nn.Conv1d(config.dim, config.dim, config.kernel, padding=config.kernel // 2) for _ in range(config.n_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(config.n_layers))
        self.attention = nn.Linear(config.dim, 1)
        self.out = nn.Linear(config.dim, config.out_dim)
        nn.init.normal_(self.embeddings.weight, std=config.n_codebooks**-0.5)

    def forward(self, codes: Tensor, n_frames: Tensor | None = None) -> Tensor:
        """Returns embeddings [B, out_dim] of `codes` [B, K, T], of which the first `n_frames` [B] are valid (default:
        all).
        """
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.config.codebook_size
        x = self.embeddings(codes.transpose(1, 2) + offsets).sum(dim=2)
        if n_frames is None:
            n_frames = torch.full((codes.shape[0],), codes.shape[2], device=codes.device)
        is_valid = (torch.arange(codes.shape[2], device=codes.device) < n_frames[:, None])[..., None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # Zero the padding before each convolution, so that an embedding does not depend on it.
            x = x + F.gelu(conv((norm(x) * is_valid).transpose(1, 2)).transpose(1, 2))
        weights = self.attention(x).float().masked_fill(~is_valid, -torch.inf)
        pooled = (x * weights.softmax(dim=1).to(x.dtype)).sum(dim=1)
        return F.layer_norm(self.out(pooled).float(), (self.config.out_dim,))
