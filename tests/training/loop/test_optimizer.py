import pytest

from backend.training.loop.optimizer import warmup_cosine


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (500, 0.1)]
)
def test_factor_rises_then_follows_half_a_cosine(step, factor):
    assert warmup_cosine(step, total_steps=110, warmup_steps=10, final_ratio=0.1) == pytest.approx(factor)


def test_no_warmup_starts_at_the_top():
    assert warmup_cosine(0, total_steps=100, warmup_steps=0, final_ratio=0.0) == 1.0
