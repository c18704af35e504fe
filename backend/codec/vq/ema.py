"""A codebook updated by exponential moving averages instead of gradients (SoundStream, section III.C)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.codec.vq.straight_through import straight_through
from backend.nn.cached_weights import DerivedInEval

# Restart candidates are rows of the batch at this stride, which needs no random generator with state to save.
_STRIDE = 2_654_435_761


class EMAQuantizer(DerivedInEval):
    """One stage: `size` codes in `dim` dimensions, each the running mean of its nearest latents.

    The first training batch initializes the codes by k-means, unless `init_from` did. A code whose share of the latents
    falls below `restart_fraction` of an equal share restarts from a latent of the current batch; the relative threshold
    is independent of batch size and frame rate.
    """

    is_trained_by_gradient = False

    codebook: Tensor  # [S, D]
    share: Tensor  # [S], running fraction of latents per code
    sums: Tensor  # [S, D], running sum of those latents divided by the number of all latents
    is_placed: Tensor  # scalar bool
    n_updates: Tensor  # scalar int

    def __init__(
        self, dim: int, size: int, decay: float = 0.99, restart_fraction: float = 0.1,
        kmeans_rounds: int = 8, kmeans_rows_per_code: int = 8, seed: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.dim = dim
        self.size = size
        self.decay = decay
        self.restart_fraction = restart_fraction
        self.kmeans_rounds = kmeans_rounds
        self.kmeans_rows_per_code = kmeans_rows_per_code
        self.seed = seed
        # Multi-device training sets this to a sum over ranks; restarts then follow rank 0, whose buffers data-parallel
        # wrappers broadcast.
        self.sum_over_ranks: Callable[[Tensor], Tensor] | None = None
        generator = torch.Generator().manual_seed(seed)
        codebook = torch.randn(size, dim, generator=generator) / dim**0.5
        self.register_buffer("codebook", codebook)
        self.register_buffer("share", torch.full((size,), 1 / size))
        self.register_buffer("sums", codebook / size)
        self.register_buffer("is_placed", torch.tensor(False))
        self.register_buffer("n_updates", torch.tensor(0))

    @property
    def dtype(self) -> torch.dtype:
        return self.codebook.dtype

    def derive(self) -> Tensor:
        return _half_square(self.codebook)

    def encode(self, x: Tensor) -> Tensor:
        """Returns the nearest code of each frame of x [B, D, T]: [B, T], the lowest index on ties."""
        rows = x.transpose(1, 2).reshape(-1, self.dim)
        return _nearest(rows, self.codebook, self.derived()).view(x.shape[0], x.shape[2])

    def decode(self, indices: Tensor) -> Tensor:
        """Maps indices [B, T] to codes [B, D, T]."""
        return F.embedding(indices, self.codebook).transpose(1, 2)

    def vectors(self) -> Tensor:
        """Returns the decoded vector of each code, [S, D]."""
        return self.codebook

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantizes x [B, D, T] and, in training mode, updates the codebook.

        Returns the codes with a straight-through gradient, their indices [B, T], the commitment loss of each item [B]
        (mean square distance with a gradient to x only), and zeros [B]: no gradient trains the codebook.
        """
        if self.training and not self.is_placed:
            self.init_from(x)
        indices = self.encode(x)
        quantized = self.decode(indices)
        commitment = (x - quantized).square().mean(dim=(1, 2))
        passed = straight_through(x, quantized)
        if self.training:
            self.update(x.detach(), indices)
        return passed, indices, commitment, torch.zeros_like(commitment)

    def margins(self, x: Tensor) -> Tensor:
        """Returns the squared-distance margin between the nearest and second nearest code, [B, T]."""
        rows = x.transpose(1, 2).reshape(-1, self.dim)
        gap = _distances(rows, self.codebook, self.derived()).topk(2, dim=1, largest=False).values.diff(dim=1)
        return 2 * gap.view(x.shape[0], x.shape[2])

    @torch.no_grad()
    def init_from(self, latents: Tensor) -> None:
        """Initializes the codes by k-means on latents [B, D, T] (a seeded, bounded sample of their frames)."""
        rows = latents.transpose(1, 2).reshape(-1, self.dim).to(self.codebook.dtype)
        generator = torch.Generator().manual_seed(self.seed)
        n_rows = min(rows.shape[0], self.size * self.kmeans_rows_per_code)
        rows = rows[torch.randperm(rows.shape[0], generator=generator)[:n_rows].to(rows.device)]
        codes, counts = _kmeans(rows, self.size, self.kmeans_rounds, generator)
        # Empty clusters start with an equal share, otherwise they would be restarted immediately.
        share = torch.where(counts > 0, counts / n_rows, 1 / self.size)
        self.codebook.copy_(codes)
        self.share.copy_(share)
        self.sums.copy_(codes * share[:, None])
        self.is_placed.fill_(True)
        self.forget_derived()

    @torch.no_grad()
    def update(self, x: Tensor, indices: Tensor) -> None:
        """Updates the averages with latents x [B, D, T] and their codes [B, T], and restarts unused codes."""
        rows = x.transpose(1, 2).reshape(-1, self.dim).to(self.codebook.dtype)
        counts, sums = _sums_per_code(rows, indices.reshape(-1), self.size)
        if self.sum_over_ranks is not None:
            counts, sums = self.sum_over_ranks(counts), self.sum_over_ranks(sums)
        n_rows = counts.sum()
        self.share.lerp_(counts / n_rows, 1 - self.decay)
        self.sums.lerp_(sums / n_rows, 1 - self.decay)
        starving = self.share < self.restart_fraction / self.size
        # Candidates are selected without reading back whether any code is unused, so nothing synchronizes.
        order = torch.arange(self.size, device=rows.device) + self.n_updates * self.size
        candidates = rows[order * _STRIDE % rows.shape[0]]
        self.share.masked_fill_(starving, 1 / self.size)
        torch.where(starving[:, None], candidates / self.size, self.sums, out=self.sums)
        # Without restarts a share can vanish; such a code keeps its last position.
        moved = self.sums / self.share[:, None]
        torch.where(self.share[:, None] > 1e-12, moved, self.codebook, out=self.codebook)
        self.n_updates += 1
        self.forget_derived()


def _half_square(codebook: Tensor) -> Tensor:
    return codebook.square().sum(dim=1) / 2


def _distances(rows: Tensor, codebook: Tensor, half_square: Tensor) -> Tensor:
    """Returns half the squared distance of rows [R, D] to codes [S, D], minus a constant per row: [R, S]."""
    return torch.addmm(half_square, rows, codebook.T, alpha=-1)


def _nearest(rows: Tensor, codebook: Tensor, half_square: Tensor) -> Tensor:
    return _distances(rows, codebook, half_square).argmin(dim=1)


def _sums_per_code(rows: Tensor, indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    counts = rows.new_zeros(size).index_add_(0, indices, rows.new_ones(rows.shape[0]))
    sums = rows.new_zeros(size, rows.shape[1]).index_add_(0, indices, rows)
    return counts, sums


def _kmeans(rows: Tensor, size: int, rounds: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Runs Lloyd's algorithm from random rows; an empty cluster moves to a random row. Returns codes and last counts."""

    def random_rows(n: int) -> Tensor:
        # Distinct rows if there are enough: equal initial codes would never separate.
        order = torch.randperm(rows.shape[0], generator=generator)
        return rows[order.repeat(-(-n // rows.shape[0]))[:n].to(rows.device)]

    codes = random_rows(size).clone()
    counts = rows.new_zeros(size)
    for _ in range(rounds):
        counts, sums = _sums_per_code(rows, _nearest(rows, codes, _half_square(codes)), size)
        codes = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], random_rows(size))
    return codes, counts
