import pytest
import torch

from backend.nn.conv import CausalConv1d, CausalConvTranspose1d
from backend.nn.packed_conv import LinearAsConv, PackedConv


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(
    "layer",
    [
        lambda: CausalConv1d(16, 32, 7, dilation=3), lambda: CausalConv1d(16, 32, 4, stride=2),
        lambda: CausalConv1d(16, 16, 1), lambda: CausalConvTranspose1d(16, 8, 4, 2),
        lambda: CausalConvTranspose1d(16, 8, 2, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 3])
def test_packed_convolution_equals_the_plain_one(layer, batch):
    torch.manual_seed(0)
    layer = layer()
    packed = PackedConv.of(layer, torch.float32)
    x = torch.randn(batch, 16, 600)
    # Short and long chunks use different weight layouts.
    for sizes in ([600], [2, 10, 64, 524], [300, 300]):
        state = packed.init_state(batch)
        y = torch.cat([packed(piece.transpose(1, 2), state) for piece in x.split(sizes, 2)], dim=1).transpose(1, 2)
        assert (y - layer(x)).abs().max() < 1e-5


def test_linear_as_convolution_equals_the_plain_one():
    linear = torch.nn.Linear(16, 8)
    x = torch.randn(2, 5, 16)
    assert (LinearAsConv(linear)(x) - linear(x)).abs().max() < 1e-5
