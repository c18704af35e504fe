import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.codec.vq.residual import EMAQuantizer, FactorizedQuantizer, ResidualVQ, dropout_rows
from backend.errors import BadCodes, CodebookMismatch


def ema_stack(n_codebooks=4, dim=6, size=16, **arguments):
    return ResidualVQ([EMAQuantizer(dim, size, seed=k, **arguments) for k in range(n_codebooks)])


def factorized_stack(n_codebooks=4, dim=6, size=16):
    torch.manual_seed(0)
    return ResidualVQ([FactorizedQuantizer(dim, size, code_dim=3) for _ in range(n_codebooks)])


STACKS = pytest.mark.parametrize("make", [ema_stack, factorized_stack])


def latents(batch=3, dim=6, frames=11, seed=0):
    return torch.randn(batch, dim, frames, generator=torch.Generator().manual_seed(seed))


@STACKS
def test_decode_is_the_sum_of_the_stages(make):
    vq = make().eval()
    indices = vq.encode(latents())
    for kept in (1, 3, 4):
        by_stage = sum(vq.stages[k].decode(indices[:, k]) for k in range(kept))
        assert torch.allclose(vq.decode(indices[:, :kept]), by_stage, atol=1e-6)


@STACKS
def test_first_codebooks_do_not_depend_on_how_many_follow(make):
    vq = make().eval()
    assert torch.equal(vq.encode(latents(), 2), vq.encode(latents())[:, :2])


@STACKS
def test_training_and_inference_choose_the_same_codes(make):
    vq = make().eval()
    output = vq(latents())
    assert torch.equal(output.indices, vq.encode(latents()))
    assert torch.allclose(output.quantized, vq.decode(output.indices), atol=1e-6)


@STACKS
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 10), max_size=4))
def test_frames_in_pieces_give_the_codes_of_the_whole(make, cuts):
    vq = make().eval()
    x = latents()
    pieces = torch.tensor_split(x, sorted(set(cuts)), dim=2)
    assert torch.equal(torch.cat([vq.encode(piece) for piece in pieces], dim=2), vq.encode(x))


def test_search_finds_the_nearest_code_and_the_lowest_index_on_ties():
    stage = EMAQuantizer(2, 4).eval()
    stage.codebook.copy_(torch.tensor([[5.0, 5.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    stage.forget_derived()
    x = torch.tensor([[[0.9, 0.1, 4.0], [0.0, 0.8, 6.0]]])
    assert stage.encode(x).tolist() == [[1, 3, 0]]
    assert stage.margins(x)[0, 0] == 0


def test_margin_is_the_gap_between_squared_distances():
    stage = EMAQuantizer(3, 9).eval()
    x = latents(2, 3, 5)
    distances = (x.transpose(1, 2)[:, :, None] - stage.codebook).square().sum(-1).sort(-1).values
    assert torch.allclose(stage.margins(x), distances[..., 1] - distances[..., 0], atol=1e-5)


def test_factorized_search_takes_the_largest_cosine_and_the_stored_row():
    torch.manual_seed(0)
    stage = FactorizedQuantizer(6, 16, code_dim=3).eval()
    x = latents()
    small = stage.in_proj(x).transpose(1, 2)
    cosine = torch.cosine_similarity(small[:, :, None], stage.codebook.weight, dim=-1)
    assert torch.equal(stage.encode(x), cosine.argmax(-1))
    rows = stage.codebook.weight[stage.encode(x)]
    assert torch.allclose(stage.decode(stage.encode(x)), stage.out_proj(rows.transpose(1, 2)))
    best = cosine.topk(2, dim=-1).values
    assert torch.allclose(stage.margins(x), 2 * (best[..., 0] - best[..., 1]), atol=1e-5)


def test_encoder_gradient_of_moving_average_stack_is_the_identity():
    vq = ema_stack().train()
    x = latents().requires_grad_()
    weights = latents(seed=1)
    (vq(x, torch.tensor([1, 4, 2])).quantized * weights).sum().backward()
    assert torch.equal(x.grad, weights)


def test_every_commitment_of_the_stack_pulls_the_encoder():
    vq = ema_stack(2).eval()
    x = latents().requires_grad_()
    output = vq(x)
    (gradient,) = torch.autograd.grad(output.commitment, x)
    first = vq.decode(output.indices[:, :1])
    both = vq.decode(output.indices)
    expected = (2 * (x - first) + 2 * (x - both)) / (x[0].numel() * x.shape[0] * 2)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_factorized_stack_trains_projections_codebook_and_encoder():
    vq = factorized_stack().train()
    x = latents().requires_grad_()
    output = vq(x)
    (output.quantized.square().sum() + output.commitment + output.codebook).backward()
    assert x.grad.abs().sum() > 0
    for name, parameter in vq.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@STACKS
def test_dropped_stages_count_neither_in_the_sum_nor_in_the_losses(make):
    vq = make().eval()
    x = latents()
    kept = torch.tensor([1, 3, 4])
    output = vq(x, kept)
    commitments = []
    for item, count in enumerate(kept.tolist()):
        alone = ResidualVQ(list(vq.stages)[:count]).eval()(x[item : item + 1])
        assert torch.allclose(output.quantized[item], alone.quantized[0], atol=1e-6)
        commitments.append(alone.commitment * count)
    assert torch.allclose(output.commitment, sum(commitments) / kept.sum())


def test_rotation_keeps_the_value_and_turns_the_gradient():
    stages = [EMAQuantizer(6, 16, seed=k) for k in range(2)]
    vq = ResidualVQ(stages, gradient="rotation").eval()
    x = latents().requires_grad_()
    output = vq(x)
    assert torch.equal(output.quantized, ResidualVQ(stages).eval()(x).quantized)
    (gradient,) = torch.autograd.grad((output.quantized * output.quantized.detach()).sum(), x)
    # A gradient along the code arrives along the latent, scaled by the ratio of their lengths.
    code = output.quantized.detach()
    expected = x * code.square().sum(1, keepdim=True) / x.square().sum(1, keepdim=True)
    assert torch.allclose(gradient, expected, atol=1e-4)


@STACKS
def test_decode_refuses_codes_the_stack_does_not_have(make):
    vq = make().eval()
    with pytest.raises(CodebookMismatch, match="5 codebooks"):
        vq.decode(torch.zeros(1, 5, 2, dtype=torch.long))
    for wrong in (-1, 16):
        with pytest.raises(BadCodes, match="16"):
            vq.decode(torch.full((1, 4, 2), wrong))


@STACKS
def test_decoding_follows_weights_loaded_in_eval_mode(make):
    vq, other = make().eval(), make().eval()
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1.5)
    indices = vq.encode(latents())
    vq.decode(indices)
    vq.load_state_dict(other.state_dict())
    assert torch.equal(vq.decode(indices), other.decode(indices))
    assert torch.equal(vq.encode(latents()), other.encode(latents()))


def test_dropout_rows_drop_as_often_as_asked():
    generator = torch.Generator().manual_seed(0)
    kept = dropout_rows(20_000, 8, 0.5, generator)
    assert kept.min() == 1 and kept.max() == 8
    # Half the items are drawn from 1...8, so a sixteenth of all lands on each count below 8.
    shares = kept.bincount(minlength=9)[1:8] / 20_000
    assert ((shares - 1 / 16).abs() < 0.006).all()
    assert (dropout_rows(50, 8, 0.0, generator) == 8).all()
