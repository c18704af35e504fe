import pytest
import torch

from backend.errors import BadSettings
from backend.lm.base import SamplerState
from backend.lm.counter_rng import noise_keys
from backend.lm.sampling import (
    MAX_DIRECT_SORT,
    FrameSampling,
    RowLimits,
    _exponential_race,
    _fast_exponential_race,
    limit,
    penalize,
    probabilities,
    sample_ids,
)
from backend.lm.sampling_options import SamplingOptions  # fmt: skip


def reference_probabilities(logits, options):
    """The definition, evaluated one id at a time."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    raw = torch.tensor(logits).double().softmax(-1)
    kept, mass = [], 0.0
    for rank, i in enumerate(order):
        mass += float(raw[i])
        is_in = mass <= options.top_p or options.top_p == 1
        is_in &= options.top_k is None or rank < options.top_k
        is_in &= options.min_p is None or raw[i] >= options.min_p * raw[order[0]]
        if rank == 0 or is_in:
            kept.append(i)
    scores = torch.full((len(logits),), -torch.inf, dtype=torch.float64)
    scores[kept] = torch.tensor(logits).double()[kept] / options.temperature
    return scores.softmax(-1)


@pytest.mark.parametrize(
    "options",
    [SamplingOptions(0.7, 0.6), SamplingOptions(1.3, 0.95, top_k=4), SamplingOptions(0.5, 1.0), SamplingOptions(1, 0.0),
     SamplingOptions(0.9, 0.99, min_p=0.2), SamplingOptions(0.9, 0.9, top_k=1)],
)  # fmt: skip
def test_probabilities_match_the_definition(options):
    torch.manual_seed(3)
    for _ in range(20):
        logits = (torch.randn(23) * 2).tolist()
        found = probabilities(torch.tensor([logits]), options)[0]
        torch.testing.assert_close(found.double(), reference_probabilities(logits, options), atol=1e-6, rtol=0)


def test_top_p_applies_before_temperature_and_drops_the_crossing_id():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    for temperature in (0.1, 5.0):
        found = probabilities(logits, SamplingOptions(temperature, 0.75))
        assert (found > 0).tolist() == [[True, False, False]]
    assert (probabilities(logits, SamplingOptions(1.0, 0.85)) > 0).sum() == 2


def test_top_p_of_one_drops_nothing():
    torch.manual_seed(0)
    logits = torch.randn(200, 700)
    assert (probabilities(logits, SamplingOptions(top_p=1.0)) > 0).all()


def test_rows_keep_their_own_options():
    torch.manual_seed(1)
    logits = torch.randn(4, 50) * 3
    options = [SamplingOptions(0.7, 0.9), SamplingOptions.greedy(), SamplingOptions(1, 1, top_k=3),
               SamplingOptions(0.3, 0.5, min_p=0.1)]  # fmt: skip
    scores, ids = limit(logits, RowLimits.of(options, "cpu"))
    together = torch.zeros_like(logits).scatter_(1, ids, scores.softmax(-1))
    for row in range(4):
        torch.testing.assert_close(together[row : row + 1], probabilities(logits[row : row + 1], options[row]))


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_top_n_shortcut_changes_no_sample(spread, monkeypatch):
    torch.manual_seed(4)
    logits = torch.randn(40, 1500) * spread
    options = [SamplingOptions(0.9, 0.8), SamplingOptions(1, 0.99, top_k=50), SamplingOptions(1, 1.0, min_p=0.3)] * 13
    keys = noise_keys(torch.arange(40), torch.arange(40), torch.arange(1))[:, 0]
    quick = sample_ids(logits, RowLimits.of([*options, options[0]], "cpu"), keys)
    alone = torch.cat(
        [sample_ids(logits[i : i + 1], RowLimits.of([options[i]], "cpu"), keys[i : i + 1]) for i in range(39)]
    )
    assert torch.equal(alone, quick[:39])
    if spread:  # ties may be broken in another order
        monkeypatch.setattr("backend.lm.sampling.N_BEST", 1500)
        assert torch.equal(sample_ids(logits, RowLimits.of([*options, options[0]], "cpu"), keys), quick)


def test_penalty_applies_to_recent_ids():
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0]])
    recent = torch.tensor([[1, 3, 3, -1]])
    found = penalize(logits, recent, torch.tensor([[2.0]]))
    assert found.tolist() == [[2.0, -2.0, 0.5, 1.5]]
    assert torch.equal(penalize(logits, torch.full((1, 4), -1), torch.tensor([[2.0]])), logits)


def frame_sampling(recent, options, seed=0, frame=0, family="s1"):
    return FrameSampling([SamplerState(options, seed, frame=frame)], recent, recent.shape[2] - 1, family)


def test_codebooks_are_penalized_separately():
    recent = torch.full((1, 16, 4), -1)
    recent[0, -1] = torch.tensor([52, 2, 3, 1])
    options = SamplingOptions(temperature=0, repetition_penalty=4.0)
    sampling = frame_sampling(recent, options)
    flat = torch.full((1, 6), 1.0)

    def best(index):
        logits = flat.clone()
        logits[0, index] = 2.0
        return logits

    assert int(sampling.main(best(2), semantic_begin_id=50)) != 2
    assert int(sampling.main(best(3), semantic_begin_id=50)) == 3
    assert int(sampling.code(best(3), 1)) != 3 and int(sampling.code(best(1), 1)) == 1
    assert int(sampling.code(best(1), 2)) != 1 and int(sampling.code(best(3), 2)) == 3


def test_repetition_aware_sampling_resamples():
    # The first id wins nine of ten samples; the second candidate, at a temperature of 1, half of them.
    logits = torch.tensor([[0.5, 0.3, 0.19, 1e-2, 1e-9]]).log()
    options = SamplingOptions(temperature=0.1, top_p=0.999, repetition_penalty=1.0)
    fresh = torch.full((1, 16, 3), -1)
    recent, long_ago = fresh.clone(), fresh.clone()
    recent[0, -10, 0] = 50
    long_ago[0, -11, 0] = 50

    def share_of_first(recent, family, n=400):
        samples = [int(frame_sampling(recent, options, frame=f, family=family).main(logits, 50)) for f in range(n)]
        return samples.count(0) / n

    assert share_of_first(fresh, "s2") > 0.97
    assert share_of_first(long_ago, "s2") > 0.97
    assert share_of_first(recent, "s1") > 0.97
    # 0.9 of the mass keeps the first two ids.
    assert 0.55 < share_of_first(recent, "s2") < 0.7


def test_repetition_aware_sampling_has_its_own_noise():
    logits = torch.tensor([[2.0, 1.9, 1.8, 1.7, 1.6, -9.0]])
    options = SamplingOptions(temperature=1.0, top_p=0.9, repetition_penalty=1.0)
    recent = torch.full((1, 16, 3), -1)
    recent[0, -5:, 0] = torch.tensor([50, 51, 52, 53, 54])
    pairs = []
    for f in range(400):
        sampling = frame_sampling(recent, options, frame=f, family="s2")
        pairs.append((int(sample_ids(logits, sampling.limits, sampling._keys(0))), int(sampling.main(logits, 50))))
    is_same = sum(first == second for first, second in pairs) / len(pairs)
    assert 0.15 < is_same < 0.45, is_same


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -0.1}, {"top_p": 1.1}, {"top_k": 0}, {"min_p": 2}, {"repetition_penalty": 0},
     {"temperature": float("nan")}],
)  # fmt: skip
def test_options_out_of_range_are_rejected(wrong):
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        SamplingOptions(**wrong)


def test_next_attempt_uses_other_noise():
    sampler = SamplerState(SamplingOptions(), seed=2**64 - 1, frame=7)
    again = sampler.next_attempt()
    assert (again.seed, again.frame, again.attempt) == (2**64 - 1, 0, 1)
    assert again.noise_seed != sampler.noise_seed == -1


@pytest.mark.parametrize("n_ids", [300, 1024, 4097])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_fast_path_samples_the_same_ids(n_ids, scale):
    options = [SamplingOptions(0.5, 0.8), SamplingOptions(1.0, 1.0), SamplingOptions(0.9, 0.99, min_p=0.05),
               SamplingOptions(0.7, 0.9, top_k=300), SamplingOptions.greedy(), SamplingOptions(1.2, 0.0)]  # fmt: skip
    limits = RowLimits.of(options, "cpu")
    torch.manual_seed(n_ids)
    for frame in range(40):
        logits = torch.randn(len(options), n_ids) * scale
        if frame % 2:
            # Coarse values: many ties, also at the cutoff.
            logits = (logits * 4).round() / 4
        logits[frame % len(options), -1] = -torch.inf
        keys = noise_keys(torch.arange(len(options)), torch.full((len(options),), frame), torch.arange(1))[:, 0]
        plain = _exponential_race(*limit(logits, limits), keys)
        if n_ids <= MAX_DIRECT_SORT or not frame % 2:
            assert torch.equal(sample_ids(logits, limits, keys), plain)
        assert torch.equal(_fast_exponential_race(logits, limits, keys), plain)
