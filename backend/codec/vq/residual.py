"""Residual vector quantization: each stage encodes the residual of the previous stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.vq.ema import EMAQuantizer
from backend.codec.vq.factorized import FactorizedQuantizer
from backend.codec.vq.straight_through import Gradient, pass_gradient
from backend.codec.vq.usage import CodebookUsage, codebook_usage, effective_dimension
from backend.errors import BadCodes, CodebookMismatch
from backend.nn.cached_weights import DerivedInEval

__all__ = [
    "CodebookUsage",
    "EMAQuantizer",
    "FactorizedQuantizer",
    "ResidualVQ",
    "VQOutput",
    "codebook_usage",
    "dropout_rows",
    "effective_dimension",
]


class VQOutput(NamedTuple):
    """A quantized latent with its training losses."""

    quantized: Tensor  # [B, D, T], with a gradient towards the latent
    indices: Tensor  # [B, K, T], of all stages
    commitment: Tensor  # scalar, mean over the stages each item uses
    codebook: Tensor  # scalar, likewise


def _in_full_precision(method: Callable) -> Callable:
    """Disables mixed precision in the search: in half precision neighboring codes become ties."""

    @wraps(method)
    def run(self: ResidualVQ, latent: Tensor, *args: Any) -> Any:
        with torch.autocast(latent.device.type, enabled=False):
            return method(self, latent, *args)

    return run


class ResidualVQ(DerivedInEval):
    """A stack of quantizers of one kind. It is stateless, so frames may be processed whole or in chunks."""

    def __init__(self, stages: Sequence[EMAQuantizer | FactorizedQuantizer], gradient: Gradient = "straight_through"):
        super().__init__()
        if len({stage.is_trained_by_gradient for stage in stages}) != 1 or len({stage.dim for stage in stages}) != 1:
            raise ValueError("all stages of a residual stack must be of one kind and one width")
        self.stages = nn.ModuleList(stages)
        self.gradient = gradient
        self.sizes = tuple(stage.size for stage in stages)
        offsets = [0, *accumulate(self.sizes)][:-1]
        self.register_buffer("offsets", torch.tensor(offsets)[:, None], persistent=False)

    @property
    def n_codebooks(self) -> int:
        return len(self.sizes)

    def derive(self) -> Tensor:
        return torch.cat([stage.vectors() for stage in self.stages])

    @_in_full_precision
    def encode(self, latent: Tensor, n_codebooks: int | None = None) -> Tensor:
        """Encodes latent [B, D, T] as indices [B, K, T] of the first `n_codebooks` stages (None: all)."""
        stages = self.stages[:n_codebooks]
        latent = latent.to(self.stages[0].dtype)
        # Frames are contiguous rows, so each stage's search is one matmul without a copy.
        residual = latent.transpose(1, 2).contiguous().transpose(1, 2)
        indices = []
        for stage in stages[:-1]:
            indices.append(stage.encode(residual))
            residual = residual - stage.decode(indices[-1])
        indices.append(stages[-1].encode(residual))
        return torch.stack(indices, dim=1)

    def decode(self, indices: Tensor) -> Tensor:
        """Decodes indices [B, K, T], K at most the number of stages, to the sum of their vectors [B, D, T].

        Raises `CodebookMismatch` for too many codebooks and, on CPU, `BadCodes` for a code out of range.
        """
        n_codebooks = indices.shape[1]
        if n_codebooks > self.n_codebooks:
            raise CodebookMismatch(
                f"Codes have {n_codebooks} codebooks; these quantizers have {self.n_codebooks}. Drop the others first."
            )
        self._check_range(indices)
        batch, _, frames = indices.shape
        # One gather and sum over a joint table: 3 operations instead of 2 K.
        bags = (indices + self.offsets[:n_codebooks]).transpose(1, 2).reshape(batch * frames, n_codebooks)
        summed = F.embedding_bag(bags, self.derived(), mode="sum")
        return summed.view(batch, frames, -1).transpose(1, 2)

    @_in_full_precision
    def forward(self, latent: Tensor, n_codebooks: Tensor | None = None) -> VQOutput:
        """Quantizes latent [B, D, T] for training; item b uses its first `n_codebooks[b]` stages.

        In training mode every stage learns from all items, including those for which it is dropped.
        """
        latent = latent.to(self.stages[0].dtype)
        residual, total = latent, torch.zeros_like(latent)
        if n_codebooks is None:
            n_codebooks = torch.full((latent.shape[0],), self.n_codebooks, device=latent.device)
        # [K, B]: stages that each item uses.
        mask = (torch.arange(self.n_codebooks, device=latent.device)[:, None] < n_codebooks).to(latent.dtype)
        outputs = []
        for stage, used in zip(self.stages, mask, strict=True):
            output = stage(residual)
            # A moving-average stage passes its own gradient, which here would cancel that of later commitments.
            vector = output[0] if stage.is_trained_by_gradient else output[0].detach()
            residual = residual - vector
            total = total + vector * used[:, None, None]
            outputs.append(output[1:])
        indices, commitment, codebook = (torch.stack(column) for column in zip(*outputs, strict=True))
        if not self.stages[0].is_trained_by_gradient:
            # Once for the whole sum: passing the gradient at every stage would add it K times.
            total = pass_gradient(latent, total, self.gradient)
        n_used = mask.sum()
        return VQOutput(
            total,
            indices.transpose(0, 1),
            (commitment * mask).sum() / n_used,
            (codebook * mask).sum() / n_used,
        )

    @torch.no_grad()
    def init_from(self, latent: Tensor) -> None:
        """Initializes the codes of every stage by k-means on latent [B, D, T], each on the residual of the previous
        ones.
        """
        for stage in self.stages:
            if not isinstance(stage, EMAQuantizer):
                raise TypeError(f"{type(stage).__name__} is trained by gradients; there is nothing to initialize")
            stage.init_from(latent)
            latent = latent - stage.decode(stage.encode(latent))
        self.forget_derived()

    def margins(self, latent: Tensor) -> Tensor:
        """Returns the squared-distance margin of each selected code to the next best, [B, K, T]."""
        margins = []
        for stage in self.stages:
            margins.append(stage.margins(latent))
            latent = latent - stage.decode(stage.encode(latent))
        return torch.stack(margins, dim=1)

    def _check_range(self, indices: Tensor) -> None:
        # Only where reading values is free: on a GPU this would synchronize at every step.
        if indices.device.type != "cpu" or not indices.numel():
            return
        lowest, highest = indices.amin().item(), indices.amax(dim=(0, 2)).tolist()
        if lowest < 0 or any(code >= size for code, size in zip(highest, self.sizes, strict=False)):
            raise BadCodes(
                f"Codes range from {lowest} to {max(highest)}; expected 0 to size - 1 for codebook sizes {self.sizes}. "
                "They may belong to another codec; encode again with this one."
            )


def dropout_rows(batch: int, n_codebooks: int, probability: float, generator: torch.Generator) -> Tensor:
    """Returns the number of codebooks each item keeps, [B]: with `probability` a random number from 1 up, otherwise
    all.
    """
    device = generator.device
    kept = torch.randint(1, n_codebooks + 1, (batch,), generator=generator, device=device)
    is_dropped = torch.rand(batch, generator=generator, device=device) < probability
    return torch.where(is_dropped, kept, n_codebooks)
