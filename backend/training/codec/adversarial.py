"""Adversarial and feature-matching losses."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GanLoss = Literal["hinge", "lsgan"]


class DiscriminatorLoss(NamedTuple):
    """The output of one discriminator: `logits` of any shape, positive for real; `features` of its inner layers."""

    logits: Tensor
    features: list[Tensor]


def discriminator_loss(real: list[DiscriminatorLoss], fake: list[DiscriminatorLoss], kind: GanLoss) -> Tensor:
    """Returns the loss of the discriminators. Fakes must come from detached audio."""
    return _mean([_discriminator_term(r.logits, f.logits, kind) for r, f in zip(real, fake, strict=True)])


def _discriminator_term(real: Tensor, fake: Tensor, kind: GanLoss) -> Tensor:
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return (real - 1).square().mean() + (fake + 1).square().mean()


def adversarial_loss(fake: list[DiscriminatorLoss], kind: GanLoss) -> Tensor:
    """Returns the codec's adversarial loss; least squares targets the real label, 1."""
    if kind == "hinge":
        return _mean([-verdict.logits.mean() for verdict in fake])
    return _mean([(verdict.logits - 1).square().mean() for verdict in fake])


def feature_loss(real: list[DiscriminatorLoss], fake: list[DiscriminatorLoss]) -> Tensor:
    """Returns the mean absolute difference of inner features, relative to the magnitude of the real ones."""
    terms = []
    for r, f in zip(real, fake, strict=True):
        for wanted, got in zip(r.features, f.features, strict=True):
            wanted = wanted.detach()
            terms.append((got - wanted).abs().mean() / wanted.abs().mean().clamp_min(1e-6))
    return _mean(terms)


def right_share(real: list[DiscriminatorLoss], fake: list[DiscriminatorLoss]) -> Tensor:
    """Returns the discriminator accuracy, 0...1; 0.5 is chance."""
    shares = [((r.logits > 0).float().mean() + (f.logits < 0).float().mean()) / 2
              for r, f in zip(real, fake, strict=True)]  # fmt: skip
    return _mean(shares)


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
