import pytest
import torch

from backend.training.loop.ema import ExponentialMovingAverage
from tests.support.tiny_training import tiny_codec


def changed(codec, offset: float) -> None:
    with torch.no_grad():
        for value in codec.state_dict().values():
            if value.is_floating_point():
                value.add_(offset)


def test_average_follows_weights_and_buffers_with_its_decay():
    codec = tiny_codec()
    average = ExponentialMovingAverage(codec, decay=0.75)
    start = {name: value.clone() for name, value in codec.state_dict().items()}
    changed(codec, 1.0)
    average.update(step=1000)
    for name, value in average.module.state_dict().items():
        expected = start[name] + 0.25 if value.is_floating_point() else start[name]
        assert torch.allclose(value, expected), name


def test_early_average_forgets_the_initialization():
    codec = tiny_codec()
    average = ExponentialMovingAverage(codec, decay=0.999)
    name = next(name for name, _ in codec.named_parameters())
    start = average.module.state_dict()[name].clone()
    changed(codec, 1.0)
    for step in range(50):
        average.update(step)
    assert (average.module.state_dict()[name] - start).min() > 0.99


def test_equal_weights_stay_bit_equal():
    codec = tiny_codec()
    with torch.no_grad():
        next(codec.parameters()).flatten()[::2] *= -0.0
    average = ExponentialMovingAverage(codec, decay=0.999)
    for step in range(20):
        average.update(step)
    for name, value in average.module.state_dict().items():
        assert value.numpy().tobytes() == codec.state_dict()[name].numpy().tobytes(), name


@pytest.mark.parametrize("part", ["quantizer", "decoder"])
def test_one_part_can_be_restarted(part):
    codec = tiny_codec()
    average = ExponentialMovingAverage(codec, decay=0.999)
    changed(codec, 1.0)
    average.restart_part(part)
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, codec.state_dict()[name]) == name.startswith(part + "."), name
