import pytest
import torch

from backend.training.codec.adversarial import (
    DiscriminatorLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    right_share,
)


def verdicts(logit: float, feature: float = 1.0) -> list[DiscriminatorLoss]:
    return [DiscriminatorLoss(torch.full((2, 3), logit), [torch.full((2, 4), feature)])]


@pytest.mark.parametrize(
    ("kind", "real", "fake", "expected"),
    [("hinge", 2.0, -2.0, 0.0), ("hinge", 0.0, 0.0, 2.0), ("hinge", 0.5, 0.5, 2.0),
     ("lsgan", 1.0, -1.0, 0.0), ("lsgan", 0.0, 0.0, 2.0)],
)  # fmt: skip
def test_discriminator_loss_has_known_values(kind, real, fake, expected):
    assert discriminator_loss(verdicts(real), verdicts(fake), kind).item() == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "best"), [("hinge", -3.0), ("lsgan", 0.0)])
def test_adversarial_loss_is_minimal_for_real_labels(kind, best):
    logit = 3.0 if kind == "hinge" else 1.0
    assert adversarial_loss(verdicts(logit), kind).item() == pytest.approx(best)
    assert adversarial_loss(verdicts(-1.0), kind) > adversarial_loss(verdicts(1.0), kind)


def test_feature_loss_is_relative_and_detaches_the_real_side():
    real, fake = verdicts(0.0, 2.0), verdicts(0.0, 3.0)
    real[0].features[0].requires_grad_(True)
    fake[0].features[0].requires_grad_(True)
    loss = feature_loss(real, fake)
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert real[0].features[0].grad is None


def test_accuracy_of_chance_is_half():
    assert right_share(verdicts(1.0), verdicts(1.0)).item() == 0.5
    assert right_share(verdicts(1.0), verdicts(-1.0)).item() == 1.0
