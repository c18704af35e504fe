"""Device selection."""

import pytest
import torch

from backend.device import find_device
from backend.errors import BadSettings


def test_auto_finds_a_working_device():
    device = find_device("auto")
    assert torch.ones(2, device=device.torch_device()).sum().item() == 2
    assert device.name
    assert device.reason


def test_auto_prefers_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")
    assert (find_device("auto").label, find_device("cuda").label) == ("cuda:0", "cuda:0")
    assert find_device("cuda:1").name == "card 1"
    assert find_device("cpu").kind == "cpu"


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:99", "CPU", ""])
def test_missing_device_is_rejected_with_advice(wanted):
    with pytest.raises(BadSettings, match=rf"'{wanted}'.*auto"):
        find_device(wanted)
