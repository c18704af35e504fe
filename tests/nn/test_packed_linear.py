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
def test_any_number_of_rows_equals_nn_linear(rows, activation):
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


@pytest.mark.skipif(not has_packed_product(), reason="this PyTorch build has no packed matmul")
def test_few_rows_use_the_packed_matmul():
    layer, _ = pair()
    with torch.inference_mode():
        layer(torch.ones(1, FEW_ROWS + 1, 24))
        assert layer._derived is None
        layer(torch.ones(1, FEW_ROWS, 24))
        assert layer._derived[0].is_mkldnn


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_bfloat16_matmul_is_close_and_independent_of_batch_size(rows):
    layer, plain = pair("gelu")
    layer.product_dtype = torch.bfloat16
    x = torch.randn(1, 100, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, actual = plain(x), torch.cat([layer(piece) for piece in x.split(rows, dim=1)], dim=1)
        assert actual.dtype == torch.float32
        assert (actual - expected).abs().max() < 0.02
        assert (actual - layer(x)).abs().max() < 0.01
