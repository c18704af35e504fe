"""A vector fitted to a recording makes it likelier, and a recording is read along at its own pace."""

import numpy as np
import pytest
import torch

from backend.lm.pointer import ADVANCE
from backend.lm.voice_fit import Recording, fit_voice, read_along
from tests.pipeline.small_model import small_voice_model

T = 30


@pytest.fixture
def lm():
    return small_voice_model()[0]


def codes(lm) -> np.ndarray:
    return np.random.default_rng(0).integers(0, lm.spec.n_semantic, (lm.spec.n_codebooks, T))


def expecting(lm, symbols_a_frame: float):
    """The model, sure of how fast everybody speaks."""
    head = lm.aux_heads[ADVANCE]
    with torch.no_grad():
        head.weight.zero_()
        head.bias = torch.nn.Parameter(torch.full((head.out_features,), -30.0))
        head.bias[0], head.bias[1] = np.log(1 - symbols_a_frame + 1e-9), np.log(symbols_a_frame)
    return lm


@pytest.mark.parametrize("is_inference", [False, True])
def test_the_recording_is_likelier_in_the_fitted_vector_and_weights_stay(lm, is_inference):
    symbols = np.arange(2, 12)
    recording = Recording(symbols, codes(lm), np.linspace(0, len(symbols) - 1, T).round().astype(int))
    before = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    start, losses = torch.randn(lm.spec.conditioning_dim, generator=torch.Generator().manual_seed(0)), []
    cross_entropy = torch.nn.functional.cross_entropy

    def heard(logits, labels, **kwargs):
        losses.append(float(cross_entropy(logits, labels, **kwargs).detach()))
        return cross_entropy(logits, labels, **kwargs)

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(is_inference):
        patch.setattr("backend.lm.voice_fit.F.cross_entropy", heard)
        fitted = fit_voice(lm, start, recording, 12, max_advance=2)
    totals = np.array(losses).reshape(12, 2).sum(axis=1)
    assert totals[-1] < totals[0] - 0.01 and (np.diff(totals) < 0).mean() > 0.8
    assert not torch.equal(fitted, start) and fitted.shape == start.shape
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.state_dict().items())
    assert all(parameter.grad is None for parameter in lm.parameters())


@pytest.mark.parametrize("n_symbols", [16, 20, 26])
def test_whoever_speaks_at_another_pace_is_followed_to_the_end(lm, n_symbols):
    symbols = np.arange(n_symbols) % 9 + 2
    place = read_along(expecting(lm, 0.66), symbols, codes(lm), torch.zeros(lm.spec.conditioning_dim))
    assert len(place) == T and place[0] == 0
    assert set(np.diff(place)) <= {0, 1}
    assert n_symbols - 3 <= place[-1] <= n_symbols - 1
    even = np.arange(T) * (n_symbols - 1) / T
    assert np.abs(place - even).max() <= 1.5


def test_other_words_than_are_heard_are_not_read(lm):
    model = expecting(lm, 0.66)
    vector = torch.zeros(lm.spec.conditioning_dim)
    assert read_along(model, np.full(60, 3), codes(lm), vector) is None
    assert read_along(model, np.full(8, 3), codes(lm), vector) is None
