import pytest
import torch
from torch import nn

from backend.optimize.cpu_kernel.compilation import compilation, missing_reason
from backend.optimize.lowbit.int8 import Int8


@pytest.fixture(scope="session")
def compiled():
    """The kernels in this machine's form of products."""
    support = Int8().supported(torch.device("cpu"), nn.Linear(4, 4))
    if missing_reason() or not support.ok:
        pytest.skip(missing_reason() or support.reason)
    found = compilation()
    assert found.wait(), found.reason
    return found


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
