"""Device selection."""

from dataclasses import replace

import pytest
import torch

from backend.device import find_device
from backend.errors import BadSettings
from backend.hardware import CudaDevice, replace_hardware
from tests.support.machines import MACHINES, X86_AVX2


def test_auto_finds_a_working_device():
    device = find_device("auto")
    assert torch.ones(2, device=device.torch_device()).sum().item() == 2
    assert device.name
    assert device.reason


@pytest.mark.parametrize("machine", MACHINES)
def test_auto_prefers_cuda_then_mps_then_cpu(machine):
    hardware = MACHINES[machine]
    with replace_hardware(hardware):
        expected = "cuda:0" if hardware.cuda_devices else "mps" if hardware.has_mps else "cpu"
        assert find_device("auto").label == expected
        assert find_device("cpu").name == hardware.processor
        for absent in {"cuda", "mps"} - {expected.partition(":")[0]}:
            with pytest.raises(BadSettings, match=absent):
                find_device(absent)


def test_cuda_device_is_selected_by_index():
    gpus = (CudaDevice("first", (8, 0)), CudaDevice("second", (9, 0)))
    with replace_hardware(replace(X86_AVX2, cuda_devices=gpus)):
        assert find_device("cuda:1").name == "second"


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:99", "CPU", ""])
def test_missing_device_is_rejected_with_advice(wanted):
    with pytest.raises(BadSettings, match=rf"'{wanted}'.*auto"):
        find_device(wanted)
