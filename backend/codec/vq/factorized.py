"""A codebook searched in a few dimensions by direction, trained by gradients (DAC, arXiv 2306.06546)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.vq.straight_through import Gradient, pass_gradient
from backend.nn.cached_weights import DerivedInEval


class FactorizedQuantizer(DerivedInEval):
    """One stage: project to `code_dim`, take the code with the largest cosine, project back.

    Only the search is normalised; the code that leaves is the codebook row as stored.
    """

    is_trained_by_gradient = True

    def __init__(self, dim: int, size: int, code_dim: int = 8, gradient: Gradient = "straight_through"):
        super().__init__()
        self.dim = dim
        self.size = size
        self.gradient = gradient
        self.in_proj = nn.Conv1d(dim, code_dim, 1)
        self.out_proj = nn.Conv1d(code_dim, dim, 1)
        self.codebook = nn.Embedding(size, code_dim)

    @property
    def dtype(self) -> torch.dtype:
        return self.codebook.weight.dtype

    def derive(self) -> Tensor:
        return F.normalize(self.codebook.weight, dim=1)

    def encode(self, x: Tensor) -> Tensor:
        """The code of each frame of x [B, D, T]: [B, T], the lowest index on ties."""
        return self._nearest(self.in_proj(x))

    def decode(self, indices: Tensor) -> Tensor:
        """Indices [B, T] to vectors [B, D, T]."""
        return self.out_proj(self.codebook(indices).transpose(1, 2))

    def vectors(self) -> Tensor:
        """What each code decodes to, [S, D]."""
        return self.out_proj(self.codebook.weight.T[None])[0].T

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantise x [B, D, T]: vectors [B, D, T], indices [B, T], commitment [B] and codebook loss [B].

        Both losses are the mean square distance in the small space: the first pulls latents to their codes, the
        second codes to their latents.
        """
        small = self.in_proj(x)
        indices = self._nearest(small)
        code = self.codebook(indices).transpose(1, 2)
        commitment = (small - code.detach()).square().mean(dim=(1, 2))
        codebook = (code - small.detach()).square().mean(dim=(1, 2))
        return self.out_proj(pass_gradient(small, code, self.gradient)), indices, commitment, codebook

    def margins(self, x: Tensor) -> Tensor:
        """By how much the nearest code beats the second nearest in squared distance of unit vectors, [B, T]."""
        cosines = F.normalize(self.in_proj(x), dim=1).transpose(1, 2) @ self.derived().T
        return -2 * cosines.topk(2, dim=2).values.diff(dim=2).squeeze(2)

    def _nearest(self, small: Tensor) -> Tensor:
        # The length of the latent cannot change which cosine is largest, so only the codebook is normalised.
        return torch.matmul(small.transpose(1, 2), self.derived().T).argmax(dim=2)
