import pytest
import torch
from torch import nn

from backend.nn.packed_linear import FEW_ROWS, PackedLinear, has_packed_product


def pair(activation="none"):
    torch.manual_seed(0)
    layer = PackedLinear(24, 40, activation).eval()
    plain = nn.Linear(24, 40)
    plain.load_state_dict(layer.state_dict())
    return layer, nn.Sequential(plain, nn.GELU()) if activation == "gelu" else plain


@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("rows", [1, 4, FEW_ROWS, FEW_ROWS + 1, 100])
def test_any_number_of_rows_gives_the_numbers_of_a_linear_layer(rows, activation):
    layer, plain = pair(activation)
    x = torch.randn(1, rows, 24, generator=torch.Generator().manual_seed(rows))
    with torch.inference_mode():
        assert torch.allclose(layer(x), plain(x), atol=1e-6)


def test_weights_loaded_after_use_are_used():
    layer, _ = pair()
    other = PackedLinear(24, 40)
    x = torch.ones(1, 2, 24)
    with torch.inference_mode():
        layer(x)
        layer.load_state_dict(other.state_dict())
        assert torch.allclose(layer(x), other(x), atol=1e-6)


def test_gradients_flow_while_training():
    layer, _ = pair("gelu")
    layer.train()
    layer(torch.ones(1, 1, 24)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.skipif(not has_packed_product(), reason="this build of torch has no packed product")
def test_few_rows_in_inference_take_the_packed_product():
    layer, _ = pair()
    with torch.inference_mode():
        layer(torch.ones(1, FEW_ROWS + 1, 24))
        assert layer._derived is None
        layer(torch.ones(1, FEW_ROWS, 24))
        assert layer._derived[0].is_mkldnn


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_a_bfloat16_product_is_near_and_does_not_depend_on_how_many_rows_come_along(rows):
    layer, plain = pair("gelu")
    layer.product_dtype = torch.bfloat16
    x = torch.randn(1, 100, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = plain(x), torch.cat([layer(piece) for piece in x.split(rows, dim=1)], dim=1)
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 0.02
        assert (found - layer(x)).abs().max() < 0.01
