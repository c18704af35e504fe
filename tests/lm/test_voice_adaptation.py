"""Voice adaptation raises a recording's likelihood; forced alignment follows the recording's pace."""

import numpy as np
import pytest
import torch

from backend.lm.generate import generate
from backend.lm.text_pointer import pointed_prompt
from backend.lm.voice_adaptation import READING, AdaptationClip, adapt_voice, dtw, force_align
from tests.support.small_model import small_voice_model

T = 30


@pytest.fixture
def lm():
    return small_voice_model()[0]


def codes(lm) -> np.ndarray:
    return np.random.default_rng(0).integers(0, lm.spec.n_semantic, (lm.spec.n_codebooks, T))


@pytest.mark.parametrize("is_inference", [False, True])
def test_adaptation_raises_the_likelihood_and_keeps_the_models_weights(lm, is_inference):
    symbols = np.arange(2, 12)
    recording = AdaptationClip(symbols, codes(lm), np.linspace(0, len(symbols) - 1, T).round().astype(int))
    before = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    start, losses = torch.randn(lm.spec.conditioning_dim, generator=torch.Generator().manual_seed(0)), []
    cross_entropy = torch.nn.functional.cross_entropy

    def recorded_loss(logits, labels, **kwargs):
        losses.append(float(cross_entropy(logits, labels, **kwargs).detach()))
        return cross_entropy(logits, labels, **kwargs)

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(is_inference):
        patch.setattr("backend.lm.voice_adaptation.F.cross_entropy", recorded_loss)
        adapted = adapt_voice(lm, start, recording, 12)
    totals = np.array(losses).reshape(12, 2).sum(axis=1)
    assert totals[-1] < totals[0] - 0.01 and (np.diff(totals) < 0).mean() > 0.8
    assert not torch.equal(adapted.vector, start) and adapted.vector.shape == start.shape
    assert adapted.fast.keys() == lm.fast_tensors.keys() and all(name.startswith("fast_") for name in adapted.fast)
    assert not torch.equal(adapted.fast["fast_norm.weight"], before["fast_norm.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.state_dict().items())
    assert all(parameter.grad is None for parameter in lm.parameters())


def test_first_frames_keep_their_symbols():
    recording = AdaptationClip(
        np.arange(10, 20), np.arange(24).reshape(2, 12), np.array([0, 0, 1, 2, 3, 3, 4, 6, 7, 8, 9, 9])
    )
    part = recording.first(6)
    assert part.symbols.tolist() == [10, 11, 12, 13] and part.place.tolist() == [0, 0, 1, 2, 3, 3]
    assert part.codes.tolist() == recording.codes[:, :6].tolist()
    whole = recording.first(12)
    assert len(whole.symbols) == 10 and len(whole.place) == 12, "symbols that take no frame are part of the whole"


def test_dtw_aligns_a_time_stretched_copy():
    x = np.random.default_rng(1).standard_normal((20, 8))
    times = np.random.default_rng(2).integers(1, 4, 20)
    alignment, distance = dtw(np.repeat(x, times, axis=0), x)
    assert distance == pytest.approx(0, abs=1e-9)
    assert alignment.tolist() == np.repeat(np.arange(20), times).tolist()
    subsampled, distance = dtw(x[::2], x)
    assert (np.diff(subsampled) >= 0).all() and distance > 0.1


def test_model_speech_is_aligned_to_its_own_pointer(lm):
    """The model's own speech with every frame doubled aligns to the pointer's positions."""
    symbols = np.arange(14) % 9 + 2
    vector = torch.randn(lm.spec.conditioning_dim, generator=torch.Generator().manual_seed(1))
    tokens = torch.zeros(lm.spec.n_rows, len(symbols), dtype=torch.long)
    tokens[0] = torch.from_numpy(symbols)
    prompt, pointer = pointed_prompt(tokens, symbols, lm.config.side_sizes, vector)
    speech = generate(lm, [prompt], READING, seeds=[0], max_new_tokens=60, pointers=[pointer])[0].codes.numpy()
    place = force_align(lm, symbols, speech.repeat(2, axis=1), vector)
    assert place is not None
    assert np.abs(place - np.repeat(pointer.path[: speech.shape[1]], 2)).mean() < 0.3


def test_other_words_are_not_aligned(lm):
    noise = codes(lm)
    assert force_align(lm, np.arange(14) % 9 + 2, noise, torch.zeros(lm.spec.conditioning_dim)) is None
