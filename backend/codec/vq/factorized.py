"""A codebook searched by cosine in a low-dimensional space and trained by gradients (DAC, arXiv 2306.06546)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.vq.straight_through import Gradient, pass_gradient
from backend.nn.cached_weights import DerivedInEval


class FactorizedQuantizer(DerivedInEval):
    """One stage: projects to `code_dim`, selects the code with the largest cosine, projects back.

    Only the search is normalized; the output is the stored codebook row.
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
        """Returns the code of each frame of x [B, D, T]: [B, T], the lowest index on ties."""
        return self._nearest(self.in_proj(x))

    def decode(self, indices: Tensor) -> Tensor:
        """Maps indices [B, T] to vectors [B, D, T]."""
        return self.out_proj(self.codebook(indices).transpose(1, 2))

    def vectors(self) -> Tensor:
        """Returns the decoded vector of each code, [S, D]."""
        return self.out_proj(self.codebook.weight.T[None])[0].T

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantizes x [B, D, T]; returns vectors [B, D, T], indices [B, T], commitment [B] and codebook loss [B].

        Both losses are mean square distances in the projected space, with gradients to the latents and to the codes
        respectively.
        """
        small = self.in_proj(x)
        indices = self._nearest(small)
        code = self.codebook(indices).transpose(1, 2)
        commitment = (small - code.detach()).square().mean(dim=(1, 2))
        codebook = (code - small.detach()).square().mean(dim=(1, 2))
        return self.out_proj(pass_gradient(small, code, self.gradient)), indices, commitment, codebook

    def margins(self, x: Tensor) -> Tensor:
        """Returns the squared-distance margin of unit vectors between the nearest and second nearest code, [B, T]."""
        cosines = F.normalize(self.in_proj(x), dim=1).transpose(1, 2) @ self.derived().T
        return -2 * cosines.topk(2, dim=2).values.diff(dim=2).squeeze(2)

    def _nearest(self, small: Tensor) -> Tensor:
        # The latent's length does not change which cosine is largest, so only the codebook is normalized.
        return torch.matmul(small.transpose(1, 2), self.derived().T).argmax(dim=2)
