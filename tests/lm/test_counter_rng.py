import math

import torch

from backend.lm.counter_rng import exponential, mix, noise_keys, uniform
from backend.lm.sampling import RowLimits, sample_ids
from backend.lm.sampling_options import SamplingOptions

STREAMS = torch.arange(4)


def keys_of(seed, frame, stream=0):
    return noise_keys(torch.tensor([seed]), torch.tensor([frame]), STREAMS)[:, stream]


def test_noise_depends_only_on_seed_frame_stream_and_entry():
    entries = torch.arange(300)[None]
    seeds, frames = torch.tensor([5, -7, 2**62]), torch.tensor([0, 9, 70000])
    together = uniform(noise_keys(seeds, frames, STREAMS)[:, 2], entries.expand(3, -1))
    for row in range(3):
        alone = uniform(noise_keys(seeds[row : row + 1], frames[row : row + 1], STREAMS)[:, 2], entries)
        assert torch.equal(alone[0], together[row])
    order = torch.randperm(300)[None]
    assert torch.equal(uniform(keys_of(5, 0, 2), order)[0], together[0][order[0]])


def test_noise_values_are_stable_across_versions():
    """A seed must mean the same speech in every version."""
    found = [round(float(x), 7) for x in uniform(keys_of(1234, 56, 3), torch.tensor([[0, 1, 1023, 4096]]))[0]]
    assert found == [0.2205403, 0.8644902, 0.9299701, 0.5224391]


def test_every_key_component_changes_the_noise():
    entries = torch.arange(64)[None]
    places = [(0, 0, 0), (1, 0, 0), (2**32, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 2**20, 0), (0, 0, 1), (0, 0, 3)]
    noise = torch.cat([uniform(keys_of(*place), entries) for place in places])
    correlation = torch.corrcoef(noise.double()) - torch.eye(len(places))
    assert correlation.abs().max() < 0.5
    assert len(noise.unique()) > 0.99 * noise.numel()


def test_uniform_is_uniform_and_excludes_0_and_1():
    seeds = torch.arange(500)
    u = uniform(noise_keys(seeds, seeds * 3, STREAMS)[:, 1], torch.arange(1000).expand(500, -1)).double()
    assert u.min() > 0 and u.max() < 1
    n = u.numel()
    assert abs(float(u.mean()) - 0.5) < 5 / math.sqrt(12 * n)
    counts = torch.histc(u.flatten(), 64, 0, 1)
    assert ((counts - n / 64) ** 2 / (n / 64)).sum() < 63 + 6 * math.sqrt(2 * 63)
    # Adjacent entries, frames and seeds are uncorrelated.
    for a, b in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        r = torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]
        assert abs(float(r)) < 5 / math.sqrt(n)
    assert float(exponential(torch.zeros(1, 2, dtype=torch.long), torch.arange(9)[None]).min()) > 0


def test_the_hash_is_one_to_one():
    x = torch.arange(1 << 18) * 16001 % (1 << 32)
    assert len(mix(x).unique()) == len(x)
    assert int(mix(x).max()) < 1 << 32 and int(mix(x).min()) >= 0


def test_exponential_race_samples_the_distribution():
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -4.0])
    n = 40_000
    options = SamplingOptions(temperature=0.7, top_p=1.0, repetition_penalty=1.0)
    limits = RowLimits.of([options], "cpu")
    frames = torch.arange(n)
    sampled = sample_ids(logits.expand(n, -1), limits, noise_keys(torch.full((n,), 99), frames, STREAMS)[:, 0])
    expected = (logits / 0.7).softmax(-1).double() * n
    counts = torch.bincount(sampled, minlength=6).double()
    assert ((counts - expected) ** 2 / expected).sum() < 5 + 6 * math.sqrt(10)
