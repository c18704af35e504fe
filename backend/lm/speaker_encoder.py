"""Who speaks, as a vector: a small network over the codes of a reference."""

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
    """Codes of a reference to a vector of length sqrt(out_dim). A vector of zeros stands for nobody in particular."""

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
        """Vectors [B, out_dim] of `codes` [B, K, T]; `n_frames` [B] of each are real, all of them by default."""
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.config.codebook_size
        x = self.embeddings(codes.transpose(1, 2) + offsets).sum(dim=2)
        if n_frames is None:
            n_frames = torch.full((codes.shape[0],), codes.shape[2], device=codes.device)
        is_real = (torch.arange(codes.shape[2], device=codes.device) < n_frames[:, None])[..., None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # Past the end there is nothing, as there is past the padding: a vector does not depend on its length.
            x = x + F.gelu(conv((norm(x) * is_real).transpose(1, 2)).transpose(1, 2))
        weights = self.attention(x).float().masked_fill(~is_real, -torch.inf)
        pooled = (x * weights.softmax(dim=1).to(x.dtype)).sum(dim=1)
        return F.layer_norm(self.out(pooled).float(), (self.config.out_dim,))
