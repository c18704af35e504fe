"""Integer frequencies: complete, positive, close to the probabilities."""

import numpy as np
import pytest

from backend.compression.entropy.frequency_table import quantized, starts_of


@pytest.mark.parametrize("n_symbols", [1, 2, 256, 30000])
def test_frequencies_are_positive_and_complete(n_symbols):
    probabilities = np.random.default_rng(0).dirichlet(np.full(n_symbols, 0.05), size=3)
    frequencies = quantized(probabilities, 16)
    assert (frequencies >= 1).all() and (frequencies.sum(axis=-1) == 65536).all()
    starts = starts_of(frequencies)
    assert (starts[:, 0] == 0).all() and (starts[:, -1] == 65536).all()


def test_little_is_lost_by_rounding():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(256))
    frequencies = quantized(probabilities, 16) / 65536
    assert (probabilities * np.log2(probabilities / frequencies)).sum() < 0.01


def test_what_is_no_distribution_is_refused():
    for wrong in ([0.5, np.nan], [-0.1, 1.1], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="not finite"):
            quantized(np.array(wrong), 16)
    with pytest.raises(ValueError, match="at most 32768"):
        quantized(np.ones(65536), 16)
