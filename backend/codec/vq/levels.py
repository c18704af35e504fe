"""Residual vector quantization on several clocks: each level codes what the coarser ones left of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.band_spectra import principal_components
from backend.codec.vq.residual import EMAQuantizer, ResidualVQ
from backend.errors import CodebookMismatch


class LevelOutput(NamedTuple):
    """What training needs from all levels."""

    energies: Tensor  # [B, t, F], the sum of the levels
    latent: Tensor  # [B, D, T], of all levels and their groups in one coarse frame
    indices: Tensor | None  # [B, K, T]
    commitment: Tensor  # scalar


class Level(nn.Module):
    """One clock: groups of `factor` fine frames [B, t, F] to latents [B, D, t / factor], codes, and back.

    The latent is a linear map of the group plus a correction from the context features, which starts at zero.
    """

    def __init__(
        self, n_features: int, context_dim: int, factor: int, latent_dim: int, n_stages: int, codebook_size: int,
        seed: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.n_features, self.factor, self.n_stages = n_features, factor, n_stages
        self.inward = nn.Linear(factor * n_features, latent_dim)
        self.correction = nn.Linear(factor * context_dim, latent_dim)
        self.outward = nn.Linear(latent_dim, factor * n_features)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.vq = ResidualVQ([EMAQuantizer(latent_dim, codebook_size, seed=seed + s) for s in range(n_stages)])

    def latent(self, residual: Tensor, context: Tensor) -> Tensor:
        """[B, t, F] and [B, t, dim] to [B, D, t / factor]."""
        groups, features = (x.reshape(x.shape[0], x.shape[1] // self.factor, -1) for x in (residual, context))
        return (self.inward(groups) + self.correction(features)).transpose(1, 2)

    def expand(self, latent: Tensor) -> Tensor:
        """[B, D, t / factor] to [B, t, F]."""
        groups = self.outward(latent.transpose(1, 2))
        return groups.reshape(groups.shape[0], -1, self.n_features)


class LevelStack(nn.Module):
    """Levels from coarse to fine. A coarse frame is as many fine frames as the first level groups."""

    def __init__(self, levels: Sequence[Level]):
        super().__init__()
        self.levels = nn.ModuleList(levels)
        coarse = levels[0].factor
        self.n_groups = tuple(coarse // level.factor for level in levels)
        if any(coarse % level.factor for level in levels):
            raise ValueError(f"group sizes {[level.factor for level in levels]} do not divide {coarse}")
        counts = [level.n_stages * n for level, n in zip(levels, self.n_groups, strict=True)]
        self.level_ends = tuple(accumulate(counts))

    @property
    def n_codebooks(self) -> int:
        return self.level_ends[-1]

    @property
    def stages(self) -> list[nn.Module]:
        """The quantizers of all levels."""
        return [stage for level in self.levels for stage in level.vq.stages]

    def encode(self, energies: Tensor, context: Tensor, n_codebooks: int) -> Tensor:
        """Band energies [B, t, F] to indices [B, n_codebooks, T]."""
        rows, residual = [], energies
        for i, level in enumerate(self.levels):
            indices = level.vq.encode(level.latent(residual, context))
            rows.append(self._as_rows(indices, self.n_groups[i]))
            if self.level_ends[i] >= n_codebooks:
                break
            residual = residual - level.expand(level.vq.decode(indices))
        return torch.cat(rows, dim=1)[:, :n_codebooks]

    def decode(self, indices: Tensor) -> Tensor:
        """Indices [B, K, T] of the first K codebooks to band energies [B, T * factor of the first level, F]."""
        if indices.shape[1] > self.n_codebooks:
            raise CodebookMismatch(
                f"Codes have {indices.shape[1]} codebooks; these levels have {self.n_codebooks}. Drop the others first."
            )
        total, first = None, 0
        for level, n_groups, end in zip(self.levels, self.n_groups, self.level_ends, strict=True):
            rows = indices[:, first:end]
            if not rows.shape[1]:
                break
            latent = self._latent_of(level, rows, n_groups)
            total = level.expand(latent) if total is None else total + level.expand(latent)
            first = end
        assert total is not None, "codes without codebooks"
        return total

    def forward(self, energies: Tensor, context: Tensor, n_codebooks: Tensor | None, is_quantized: bool) -> LevelOutput:
        """Quantize for training; item b keeps the whole stages among its first `n_codebooks[b]` codebooks.

        A level learns from what complete coarser levels leave, also where an item's own sound stops before it.
        """
        residual, total = energies, torch.zeros_like(energies)
        latents, rows, commitments, first = [], [], [], 0
        for i, level in enumerate(self.levels):
            latent = level.latent(residual, context)
            latents.append(self._side_by_side(latent, self.n_groups[i]))
            if not is_quantized:
                total = total + level.expand(latent)
                residual = energies - total.detach()
                continue
            output = level.vq(latent)
            rows.append(self._as_rows(output.indices, self.n_groups[i]))
            commitments.append(output.commitment)
            residual = residual - level.expand(output.quantized.detach()).detach()
            if n_codebooks is None:
                total = total + level.expand(output.quantized)
            else:
                n_kept = ((n_codebooks - first) // self.n_groups[i]).clamp(0, level.n_stages)
                quantized = latent + (self._kept_sum(level, output.indices, n_kept) - latent).detach()
                total = total + level.expand(quantized) * (n_kept > 0)[:, None, None]
            first = self.level_ends[i]
        latent = torch.cat(latents, dim=1)
        if not is_quantized:
            return LevelOutput(total, latent, None, energies.new_zeros(()))
        return LevelOutput(total, latent, torch.cat(rows, dim=1), torch.stack(commitments).mean())

    @torch.no_grad()
    def init_from(self, energies: Tensor, context: Tensor, is_map_fitted: bool) -> None:
        """Place the codes of every level by k-means; with `is_map_fitted` its linear maps by principal components."""
        residual = energies
        for level in self.levels:
            if is_map_fitted:
                rows = residual.reshape(-1, level.factor * level.n_features)
                mean, components = principal_components(rows, level.inward.out_features)
                level.inward.weight.copy_(components.T)
                level.inward.bias.copy_(-mean @ components)
                level.outward.weight.copy_(components)
                level.outward.bias.copy_(mean)
            latent = level.latent(residual, context)
            level.vq.init_from(latent.transpose(1, 2).flatten(0, 1).T[None])
            residual = residual - level.expand(level.vq.decode(level.vq.encode(latent)))

    def margins(self, energies: Tensor, context: Tensor) -> Tensor:
        """By how much each code beats the next best in squared distance, [B, K, T]."""
        rows, residual = [], energies
        for i, level in enumerate(self.levels):
            latent = level.latent(residual, context)
            rows.append(self._as_rows(level.vq.margins(latent), self.n_groups[i]))
            residual = residual - level.expand(level.vq.decode(level.vq.encode(latent)))
        return torch.cat(rows, dim=1)

    @staticmethod
    def _as_rows(indices: Tensor, n_groups: int) -> Tensor:
        """[B, S, T * n_groups] to [B, S * n_groups, T]."""
        batch, n_stages, _ = indices.shape
        return indices.view(batch, n_stages, -1, n_groups).transpose(2, 3).reshape(batch, n_stages * n_groups, -1)

    @staticmethod
    def _side_by_side(latent: Tensor, n_groups: int) -> Tensor:
        """[B, D, T * n_groups] to [B, D * n_groups, T]."""
        return latent.unflatten(2, (-1, n_groups)).transpose(2, 3).flatten(1, 2)

    def _latent_of(self, level: Level, rows: Tensor, n_groups: int) -> Tensor:
        """The latent [B, D, T * n_groups] of a level from the rows it has; a last stage may lack some groups."""
        n_whole, n_left = divmod(rows.shape[1], n_groups)
        batch, _, n_frames = rows.shape
        parts = []
        if n_whole:
            whole = rows[:, : n_whole * n_groups].reshape(batch, n_whole, n_groups, n_frames)
            parts.append(level.vq.decode(whole.transpose(2, 3).reshape(batch, n_whole, -1)))
        if n_left:
            stage = level.vq.stages[n_whole]
            vectors = torch.stack([stage.decode(rows[:, n_whole * n_groups + j]) for j in range(n_left)], dim=3)
            parts.append(F.pad(vectors, (0, n_groups - n_left)).flatten(2))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @staticmethod
    def _kept_sum(level: Level, indices: Tensor, n_kept: Tensor) -> Tensor:
        """The sum of the first `n_kept[b]` stages' vectors, [B, D, T * n_groups]."""
        vectors = torch.stack([stage.decode(indices[:, s]) for s, stage in enumerate(level.vq.stages)])
        is_kept = torch.arange(len(vectors), device=indices.device)[:, None] < n_kept
        return (vectors * is_kept[:, :, None, None]).sum(dim=0)
