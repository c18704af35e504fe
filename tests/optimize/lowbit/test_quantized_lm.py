"""8-bit and 4-bit weights: distance from float32, and independence of rows in a batch."""

from functools import partial

import pytest
import torch
from torch import nn

from backend.optimize.lowbit.int4 import Int4, Int4Matrix
from backend.optimize.lowbit.int8 import Int8, Int8Matrix
from backend.optimize.lowbit.replace_linears import MatrixLinear
from tests.support.lm_parity import KINDS, cosine, model, next_logits, speech

CPU = torch.device("cpu")
LINEARS = {
    "int8": (Int8(), partial(MatrixLinear, make_matrix=Int8Matrix), 0.02),
    "int4": (Int4(), partial(MatrixLinear, make_matrix=Int4Matrix), 0.1),
}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(params=LINEARS)
def kind(request):
    optimization, linear, error = LINEARS[request.param]
    support = optimization.supported(CPU, nn.Linear(64, 64))
    if not support.ok:
        pytest.skip(support.reason)
    return optimization, linear, error


def test_matmuls_are_close_to_float32_at_any_scale(kind):
    _, make, error = kind
    torch.manual_seed(0)
    linear = nn.Linear(1024, 96)
    x = torch.randn(2, 5, 1024) * 10.0 ** torch.arange(-4, 6).view(2, 5, 1)
    expected, actual = linear(x) - linear.bias, make(linear)(x) - linear.bias
    assert actual.shape == expected.shape
    assert ((actual - expected).norm(dim=-1) / expected.norm(dim=-1)).max() < error


def test_row_is_bit_equal_alone_and_beside_large_rows(kind):
    _, make, _ = kind
    torch.manual_seed(0)
    layer = make(nn.Linear(512, 97, bias=False))
    rows = torch.randn(9, 512)
    rows[4] *= 1e4
    together = layer(rows)
    for n in (1, 2, 3, 8):
        for start in range(0, 9 - n):
            assert torch.equal(layer(rows[start : start + n]), together[start : start + n])


def test_zero_rows_give_the_bias(kind):
    _, make, _ = kind
    linear = nn.Linear(64, 8)
    assert torch.allclose(make(linear)(torch.zeros(3, 64)), linear.bias.expand(3, 8), atol=1e-6)


def test_nan_propagates_to_its_row_only(kind):
    _, make, _ = kind
    x = torch.ones(2, 64)
    x[1, 3] = torch.nan
    y = make(nn.Linear(64, 8))(x)
    assert y[1].isnan().all() and not y[0].isnan().any()


@pytest.mark.parametrize("family", KINDS)
def test_logits_stay_within_the_stated_tolerance(kind, family):
    optimization, _, _ = kind
    expected = next_logits(model(family))
    actual = next_logits(optimization.apply(model(family)))
    assert 1 - cosine(actual, expected) <= optimization.tolerance
    assert not torch.equal(actual, expected)


@pytest.mark.parametrize("family", ["v15", "s1", "s2", "one codebook"])
def test_seeds_give_equal_frames_alone_and_in_a_batch(kind, family):
    optimization, _, _ = kind
    lm = optimization.apply(model(family))
    together, logits = speech(lm, (0, 1, 2))
    for row, seed in enumerate((0, 1, 2)):
        alone, own_logits = speech(lm, (seed,))
        assert torch.equal(alone[0], together[row])
        assert torch.equal(own_logits[0], logits[row])


def test_linear_layers_of_other_models_are_replaced(kind):
    optimization, _, _ = kind
    net = nn.Sequential(nn.Linear(64, 64), nn.Sequential(nn.GELU(), nn.Linear(64, 32)))
    optimization.apply(net)
    assert isinstance(net[0], MatrixLinear) and isinstance(net[1][1], MatrixLinear)


def test_int4_rejects_odd_input_sizes_with_their_count():
    support = Int4().supported(CPU, nn.Sequential(nn.Linear(40, 8), nn.Linear(64, 8)))
    assert not support.ok and support.reason.startswith("1 matrices")


@pytest.mark.parametrize("optimization", [Int8(), Int4()], ids=["int8", "int4"])
def test_other_devices_are_rejected_with_a_reason(optimization):
    support = optimization.supported(torch.device("mps"), nn.Linear(64, 64))
    assert not support.ok and "mps" in support.reason
