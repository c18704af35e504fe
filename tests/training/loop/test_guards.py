import math

import pytest
import torch

from backend.training.loop.guards import CollapseGuard, DivergenceGuard, guarded_step


def optimizer_with_history() -> tuple[torch.optim.AdamW, torch.nn.Parameter]:
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    weight.grad = torch.ones(4)
    guarded_step(optimizer, [weight], clip=10.0)
    return optimizer, weight


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_gradient_changes_no_weights_or_moments(bad):
    optimizer, weight = optimizer_with_history()
    before = weight.detach().clone()
    moments = {name: value.clone() for name, value in optimizer.state[weight].items()}
    weight.grad = torch.tensor([1.0, bad, 1.0, 1.0])
    _, skipped = guarded_step(optimizer, [weight], clip=10.0)
    assert skipped == 1
    assert torch.equal(weight, before)
    assert all(torch.equal(optimizer.state[weight][name], value) for name, value in moments.items())


def test_step_after_a_skipped_one_is_taken():
    optimizer, weight = optimizer_with_history()
    weight.grad = torch.full((4,), math.nan)
    guarded_step(optimizer, [weight], clip=10.0)
    before = weight.detach().clone()
    weight.grad = torch.ones(4)
    norm, skipped = guarded_step(optimizer, [weight], clip=10.0)
    assert skipped == 0 and norm.item() == pytest.approx(2.0)
    assert (weight < before).all()


def test_loss_far_above_the_median_is_divergence():
    guard = DivergenceGuard(max_loss_ratio=3.0, window=10)
    assert not any(guard.is_diverged(loss) for loss in (9.0, 5.0, 4.0, 4.2, 4.1, 3.9, 4.4))
    assert not guard.is_diverged(11.0)
    assert guard.is_diverged(14.0)
    assert guard.is_diverged(math.nan)


def test_first_intervals_are_never_divergence():
    guard = DivergenceGuard(max_loss_ratio=3.0, window=10)
    assert not guard.is_diverged(1.0)
    assert not guard.is_diverged(100.0)


def test_collapse_needs_patience():
    guard = CollapseGuard(min_ratio=0.1, patience=3)
    sizes = (64, 64)
    assert not guard.is_collapsed((3.0, 60.0), sizes, 4096)
    assert not guard.is_collapsed((3.0, 60.0), sizes, 4096)
    assert not guard.is_collapsed((30.0, 60.0), sizes, 4096)
    assert not guard.is_collapsed((30.0, 3.0), sizes, 4096)
    assert not guard.is_collapsed((30.0, 3.0), sizes, 4096)
    assert guard.is_collapsed((30.0, 3.0), sizes, 4096)
