"""Every registered optimization states its claim and gives a reason when unsupported."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from backend.optimize.backend_flags import BackendFlags
from backend.optimize.cuda_streams import CudaStreams
from backend.optimize.fold_weight_norm import FoldWeightNorm
from backend.optimize.precision import Precision
from backend.optimize.registry import OPTIMIZATIONS
from backend.optimize.threads import choose_threads, measure_threads, thread_counts
from backend.optimize.torch_compile import TorchCompile
from tests.support.lm_parity import cosine, model, next_logits

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", OPTIMIZATIONS)
def test_an_optimization_states_its_claim(name):
    optimization = OPTIMIZATIONS[name]()
    assert optimization.name == name
    assert 0 <= optimization.tolerance < 0.2 and (optimization.is_exact or optimization.tolerance > 0)
    support = optimization.supported(CPU, nn.Linear(4, 4))
    assert isinstance(support.ok, bool) and support.reason


@pytest.mark.parametrize("name", ["streams", "backend_flags"])
def test_cuda_optimizations_are_rejected_on_cpu(name):
    support = OPTIMIZATIONS[name]().supported(CPU, nn.Linear(4, 4))
    assert not support.ok and "cpu" in support.reason


def test_unsupported_streams_still_run_their_stages():
    with CudaStreams(3).stage("codec"):
        assert torch.ones(1).item() == 1


def test_fp32_is_exact_and_bf16_is_within_tolerance():
    with torch.inference_mode():
        expected = next_logits(model("s1"))
        assert torch.equal(next_logits(Precision("fp32").apply(model("s1"))), expected)
        half = Precision("bf16")
        actual = next_logits(half.apply(model("s1"))).float()
        assert 0 < 1 - cosine(actual, expected) <= half.tolerance


def test_folded_weight_norm_is_equal():
    torch.manual_seed(0)
    net, fold = nn.Sequential(weight_norm(nn.Conv1d(3, 4, 5)), weight_norm(nn.Conv1d(4, 2, 1))), FoldWeightNorm()
    x = torch.randn(2, 3, 16)
    expected = net(x)
    assert fold.supported(CPU, net).ok
    assert (fold.apply(net)(x) - expected).abs().max() <= fold.tolerance
    assert not fold.supported(CPU, net).ok


def test_compile_is_rejected_without_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    support = TorchCompile().supported(CPU, model("s1"))
    assert not support.ok and "compiler" in support.reason


@pytest.mark.slow
def test_compiled_layers_are_equal():
    compiled = TorchCompile()
    lm = model("s1")
    if not (support := compiled.supported(CPU, lm)).ok:
        pytest.skip(support.reason)
    with torch.inference_mode():
        expected = next_logits(lm)
        assert (next_logits(compiled.apply(lm)) - expected).abs().max() <= compiled.tolerance * expected.abs().max()


def test_measuring_threads_restores_the_count():
    before = torch.get_num_threads()
    assert measure_threads(lambda: 10.0 / torch.get_num_threads(), (1, 2)) == {1: 10.0, 2: 5.0}
    assert torch.get_num_threads() == before
    assert thread_counts(1) == (1,) and thread_counts(6) == (1, 2, 4, 6)


def test_fewer_threads_win_if_more_gain_little():
    assert choose_threads({1: 10.0, 2: 5.0, 4: 4.9}) == 2
    assert choose_threads({1: 1.0, 2: 40.0}) == 1


def test_supported_does_not_set_flags():
    before = torch.backends.cudnn.benchmark
    BackendFlags().supported(CPU)
    assert torch.backends.cudnn.benchmark == before
