import pytest
import torch

from backend.codec.vq.residual import codebook_usage, effective_dimension
from backend.errors import BadCodes


def test_uniform_use_has_full_perplexity_and_bits():
    usage = codebook_usage(torch.arange(16).repeat(2, 3, 5), [16, 16, 32])
    assert usage.perplexity == pytest.approx((16, 16, 16))
    assert usage.bits == pytest.approx((4, 4, 4))
    assert usage.dead_fraction == pytest.approx((0, 0, 0.5))
    assert usage.efficiency == pytest.approx(12 / 13)


def test_one_used_code_is_a_collapse():
    usage = codebook_usage(torch.full((1, 1, 100), 7), [1024])
    assert usage.perplexity == (1,) and usage.bits == (0,)
    assert usage.dead_fraction[0] == 1023 / 1024


def test_known_entropy():
    indices = torch.tensor([0, 0, 1, 2]).view(1, 1, 4)
    assert codebook_usage(indices, [4]).bits == pytest.approx((1.5,))


def test_usage_refuses_sizes_of_another_stack():
    with pytest.raises(BadCodes, match="3 codebooks"):
        codebook_usage(torch.zeros(1, 3, 4, dtype=torch.long), [16])


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_dimension_counts_independent_directions(rank):
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q[:, :rank]
    latent = basis @ torch.randn(2, rank, 4000, generator=generator)
    assert effective_dimension(latent) == pytest.approx(rank, rel=0.02)


def test_effective_dimension_matches_the_eigenvalues():
    latent = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 6)[:, None]
    values = torch.linalg.eigvalsh(latent.transpose(1, 2).reshape(-1, 5).double().T.cov())
    assert effective_dimension(latent) == pytest.approx((values.sum() ** 2 / values.square().sum()).item())
