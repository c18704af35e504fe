import pytest
import torch
import torch.nn.functional as F

from backend.nn import conv
from backend.nn.conv import CausalConv1d


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(7, 1, 1), (7, 1, 9), (1, 1, 1), (8, 4, 1), (3, 1, 3)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_short_inputs_equal_conv1d(kernel_size, stride, dilation, has_bias):
    torch.manual_seed(0)
    layer = CausalConv1d(5, 6, kernel_size, stride, dilation, bias=has_bias)
    # A non-contiguous view: the windows must follow its strides and offset.
    x = torch.randn(3, 9, 50)[:, 2:7, 3:43]
    with torch.no_grad():
        whole = F.conv1d(F.pad(x, (layer.context, 0)), layer.weight, layer.bias, stride, dilation=dilation)
        assert torch.allclose(layer(x), whole, atol=1e-5)
        state = layer.init_state(3)
        pieces = [layer(piece, state) for piece in x.split([4, 20, 16], dim=2)]
        assert torch.allclose(torch.cat(pieces, dim=2), whole, atol=1e-5)


def test_short_and_long_paths_are_equal(monkeypatch):
    torch.manual_seed(0)
    layer = CausalConv1d(2, 3, 7, dilation=3)
    x = torch.randn(1, 2, 64)
    with torch.no_grad():
        short = layer(x)
        monkeypatch.setattr(conv, "_SHORT", 0)
        assert torch.allclose(short, layer(x), atol=1e-6)
