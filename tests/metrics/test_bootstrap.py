import numpy as np
import pytest

from backend.metrics.bootstrap import bootstrap_mean


def test_interval_contains_the_mean_and_shrinks_with_files():
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    few, many = bootstrap_mean(values[:20]), bootstrap_mean(values)
    for interval in (few, many):
        assert interval.low < interval.mean < interval.high
    assert many.mean == pytest.approx(values.mean()) and many.n == 400
    assert many.high - many.low < (few.high - few.low) / 2


def test_interval_has_the_normal_width():
    values = np.random.default_rng(2).normal(0.0, 1.0, 400)
    interval = bootstrap_mean(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_19_of_20_intervals_contain_the_true_mean():
    generator = np.random.default_rng(3)
    held = [
        interval.low <= 0.5 <= interval.high
        for interval in (bootstrap_mean(generator.uniform(size=40)) for _ in range(200))
    ]
    assert 0.88 <= np.mean(held) <= 0.99


def test_paired_differences_are_more_sensitive():
    generator = np.random.default_rng(4)
    first = generator.normal(0.0, 5.0, 40)
    second = first + 0.2 + generator.normal(0.0, 0.1, 40)
    assert bootstrap_mean(second - first).low > 0
    assert bootstrap_mean(first).high > bootstrap_mean(second).low


def test_weights_count_words_not_files():
    interval = bootstrap_mean(np.array([0.0, 1.0]), np.array([9.0, 1.0]))
    assert interval.mean == pytest.approx(0.1)
    with pytest.raises(ValueError):
        bootstrap_mean(np.array([0.0]), np.array([0.0]))
    with pytest.raises(ValueError):
        bootstrap_mean(np.array([]))


def test_one_file_has_zero_width_and_results_are_deterministic():
    assert bootstrap_mean(np.array([2.5]))[:3] == (2.5, 2.5, 2.5)
    values = np.arange(9.0)
    assert bootstrap_mean(values) == bootstrap_mean(values)
