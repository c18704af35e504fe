"""Codebook usage statistics."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log2
from typing import NamedTuple

from torch import Tensor

from backend.errors import BadCodes


class CodebookUsage(NamedTuple):
    """One value per codebook, over all given frames."""

    perplexity: tuple[float, ...]  # number of equally used codes with the same entropy
    dead_fraction: tuple[float, ...]  # fraction of codes never used
    bits: tuple[float, ...]  # entropy of one code
    nominal_bits: tuple[float, ...]  # log2 of the size

    @property
    def efficiency(self) -> float:
        """Total entropy of the codebooks relative to their nominal bits, 0...1."""
        return sum(self.bits) / sum(self.nominal_bits)


def codebook_usage(indices: Tensor, sizes: Sequence[int]) -> CodebookUsage:
    """Returns the usage of codes [B, K, T] with codebooks of these sizes; with fewer frames than codes usage is always
    low.
    """
    if indices.shape[1] != len(sizes):
        raise BadCodes(f"Codes have {indices.shape[1]} codebooks; got {len(sizes)} sizes. Pass one size per codebook.")
    bits, dead = [], []
    for stage, size in enumerate(sizes):
        shares = indices[:, stage].reshape(-1).bincount(minlength=size).double()
        shares = shares / shares.sum().clamp_min(1)
        bits.append(-(shares.xlogy(shares)).sum().item() / log(2))
        dead.append((shares == 0).double().mean().item())
    return CodebookUsage(tuple(2**b for b in bits), tuple(dead), tuple(bits), tuple(log2(size) for size in sizes))


def effective_dimension(latent: Tensor) -> float:
    """Returns the effective dimension of latent [B, D, T], 1...D.

    The participation ratio of the covariance: (sum of eigenvalues)^2 / sum of squared eigenvalues.
    """
    rows = latent.detach().transpose(1, 2).reshape(-1, latent.shape[1]).double()
    covariance = rows.T.cov()
    # Trace and Frobenius norm give both sums without an eigendecomposition.
    return (covariance.trace().square() / covariance.square().sum().clamp_min(1e-300)).item()
