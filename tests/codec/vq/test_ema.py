import copy

import torch

from backend.codec.vq.residual import EMAQuantizer, ResidualVQ, codebook_usage


def clusters(n_clusters=16, frames=512, dim=8, spread=0.01, seed=0):
    """Latents [1, D, T] around well separated centers."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(n_clusters, dim, generator=generator)
    chosen = centers[torch.arange(frames) % n_clusters]
    return (chosen + spread * torch.randn(frames, dim, generator=generator)).T[None]


def collapsed(dim=8, size=16):
    """A quantizer as a long collapse leaves it: all codes equal, all latents on the first."""
    stage = EMAQuantizer(dim, size, decay=0.9)
    stage.codebook.copy_(stage.codebook[:1].expand(size, dim).clone())
    stage.share.zero_()[0] = 1
    stage.sums.copy_(stage.codebook * stage.share[:, None])
    stage.is_placed.fill_(True)
    return stage.train()


def test_first_training_batch_places_the_codes():
    stage = EMAQuantizer(8, 16).train()
    _, indices, commitment, _ = stage(clusters())
    assert stage.is_placed
    usage = codebook_usage(indices[:, None], [16])
    assert usage.perplexity[0] > 10
    # Random codes of unit length would be about 1 away per dimension.
    assert commitment.item() < 0.3


def test_placing_is_seeded_and_bounded():
    stages = [EMAQuantizer(8, 16, kmeans_rows_per_code=2, seed=3) for _ in range(2)]
    for stage in stages:
        stage.init_from(clusters())
    assert torch.equal(stages[0].codebook, stages[1].codebook)
    other = EMAQuantizer(8, 16, kmeans_rows_per_code=2, seed=4)
    other.init_from(clusters())
    assert not torch.equal(stages[0].codebook, other.codebook)


def test_placing_needs_fewer_latents_than_codes():
    stage = EMAQuantizer(8, 16).train()
    stage(clusters(frames=5))
    assert torch.isfinite(stage.codebook).all()


def test_stages_are_placed_on_what_is_left():
    vq = ResidualVQ([EMAQuantizer(8, 16, seed=k) for k in range(3)]).eval()
    x = torch.randn(4, 8, 200, generator=torch.Generator().manual_seed(0))
    vq.init_from(x)
    indices = vq.encode(x)
    errors = [(x - vq.decode(indices[:, :k])).square().mean().item() for k in (1, 2, 3)]
    assert 1 > errors[0] > errors[1] > errors[2]


def test_codes_are_the_means_of_their_latents_when_nothing_moves():
    stage = EMAQuantizer(8, 16, decay=0.5)
    x = clusters()
    stage.init_from(x)
    stage.train()
    for _ in range(30):
        _, indices, _, _ = stage(x)
    code = indices[0, 0]
    mean = x[0, :, indices[0] == code].mean(dim=1)
    assert torch.allclose(stage.codebook[code], mean, atol=1e-4)


def test_evaluation_changes_nothing():
    stage = EMAQuantizer(8, 16).eval()
    before = copy.deepcopy(stage.state_dict())
    stage(clusters())
    assert all(torch.equal(before[name], tensor) for name, tensor in stage.state_dict().items())


def test_collapse_is_detected_and_healed_within_a_few_batches():
    stage = collapsed()
    x = clusters()
    sick = codebook_usage(stage.encode(x)[:, None], [16])
    assert sick.perplexity[0] == 1 and sick.dead_fraction[0] == 15 / 16
    for _ in range(5):
        stage(x)
    healed = codebook_usage(stage.encode(x)[:, None], [16])
    assert healed.dead_fraction[0] <= 2 / 16 and healed.perplexity[0] > 10


def test_collapse_stays_without_restart():
    stage = collapsed()
    stage.restart_fraction = 0.0
    for _ in range(5):
        stage(clusters())
    assert codebook_usage(stage.encode(clusters())[:, None], [16]).perplexity[0] < 4


def test_restart_threshold_is_relative_to_the_batch():
    """Uniformly used codes stay where they are, for batches much smaller than the codebook too."""
    stage = EMAQuantizer(4, 64, decay=0.99).train()
    stage.is_placed.fill_(True)
    stage.codebook.mul_(10)
    stage.sums.mul_(10)
    before = stage.codebook.clone()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        rows = stage.codebook[torch.randint(64, (8,), generator=generator)]
        stage(rows.T[None])
    assert torch.allclose(stage.codebook, before, atol=1e-3)


def test_statistics_can_be_summed_over_ranks():
    """Two ranks with half the batch each end with the codebook of one rank with the whole batch."""
    whole, half = EMAQuantizer(8, 16).train(), EMAQuantizer(8, 16).train()
    for stage in (whole, half):
        stage.init_from(clusters())
    x = clusters(seed=1)
    whole(x)
    other = copy.deepcopy(half)
    seen = []
    other.sum_over_ranks = lambda tensor: (seen.append(tensor.clone()), tensor)[1]
    other(x[:, :, 256:])
    half.sum_over_ranks = lambda tensor: tensor + seen.pop(0)
    half(x[:, :, :256])
    assert torch.allclose(half.codebook, whole.codebook, atol=1e-6)


def test_training_resumes_from_a_state_dict():
    first, second = EMAQuantizer(8, 16, decay=0.9).train(), EMAQuantizer(8, 16, decay=0.9, seed=7).train()
    first(clusters())
    second.load_state_dict(first.state_dict())
    for seed in range(3):
        first(clusters(seed=seed))
        second(clusters(seed=seed))
    assert torch.equal(first.codebook, second.codebook)


def test_mixed_precision_does_not_reach_the_search():
    vq = ResidualVQ([EMAQuantizer(8, 16, seed=k) for k in range(2)]).eval()
    x = clusters()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(vq.encode(x), vq(x).indices)
        mixed = vq.encode(x)
    assert torch.equal(mixed, vq.encode(x))
