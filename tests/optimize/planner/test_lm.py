"""CUDA graphs: unsupported models, and how a plan selects them."""

import copy

import pytest
import torch
from torch import nn

from backend.optimize.base import Support
from backend.optimize.cpu_graph.model import CpuGraph
from backend.optimize.cuda_graph.model import CudaGraph, CudaGraphDualAR
from backend.optimize.lowbit.int8 import Int8
from backend.optimize.planner import lm as lm_planner
from backend.optimize.planner.decision import PlanOptions
from backend.optimize.planner.lm import lm_decisions
from backend.optimize.precision import Precision
from tests.support.lm_parity import model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GRAPH = CudaGraph()


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def test_unsupported_models_are_rejected_with_a_reason():
    plain = model("phonogram")
    assert "CUDA" in GRAPH.supported(CPU, plain).reason
    assert GRAPH.supported(CUDA, plain).ok, "pointers are supported"
    assert "Linear" in GRAPH.supported(CUDA, nn.Linear(2, 2)).reason
    assert "already" in GRAPH.supported(CUDA, CudaGraphDualAR.of(copy.copy(plain))).reason

    class OtherLinear(nn.Linear):
        pass

    odd = model("s1")
    odd.layers[0].feed_forward.w2 = OtherLinear(2, 2)
    assert "quantized" in GRAPH.supported(CUDA, odd).reason
    odd.layers[0].feed_forward.w2 = nn.Linear(2, 2)
    odd.layers[0].feed_forward.compile()
    assert "compiled" in GRAPH.supported(CUDA, odd).reason
    odd.layers[0] = nn.Identity()
    assert "plain" in GRAPH.supported(CUDA, odd).reason


def planned(monkeypatch, seconds=(4e-3, 1e-3), disabled_reason=None, **options):
    """Returns the plan's decision on a simulated GPU with the given frame times, and the measured models."""
    times, seen, lm = iter(seconds), [], model("s1")

    def spoken(small):
        seen.append(small)
        if isinstance(small, CudaGraphDualAR):
            small.disabled_reason = disabled_reason
        return next(times)

    monkeypatch.setattr(lm_planner, "spoken_frame_s", spoken)
    monkeypatch.setattr(CpuGraph, "supported", lambda *_: Support(False, "for CPUs"))
    monkeypatch.setattr(CudaGraph, "supported", lambda *_: Support(True, "as on a GPU"))
    before = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(**{"mixed_precision": "fp32", "threads": 1, **options}))
    assert all(torch.equal(before[name], tensor) for name, tensor in lm.state_dict().items())
    assert not isinstance(lm, CudaGraphDualAR)
    (found,) = [d for d in decisions if d.name == "cuda_graph"]
    return found, seen


@pytest.mark.parametrize(("seconds", "is_applied"), [((4e-3, 1e-3), True), ((1e-3, 4e-3), False)])
def test_plan_applies_it_if_a_layer_of_each_stack_is_faster(monkeypatch, seconds, is_applied):
    found, seen = planned(monkeypatch, seconds)
    assert found.is_applied == is_applied and len(found.measured) == 2
    assert [len(small.layers) for small in seen] == [1, 1] and isinstance(seen[1], CudaGraphDualAR)


def test_plan_contains_the_reason_of_a_failed_capture(monkeypatch):
    found, _ = planned(monkeypatch, disabled_reason="capture failed")
    assert not found.is_applied and found.reason == "capture failed"


def test_plan_measures_it_in_the_selected_precision(monkeypatch):
    monkeypatch.setattr(Precision, "supported", lambda *_: Support(True, "as on a GPU"))
    found, seen = planned(monkeypatch, mixed_precision="bf16")
    assert found.is_applied and [small.dtype for small in seen] == [torch.bfloat16] * 2


def test_it_can_be_disabled(monkeypatch):
    found, seen = planned(monkeypatch, cuda_graphs=False)
    assert not found.is_applied and "ENABLE_CUDA_GRAPHS" in found.reason and not seen


def test_quantized_models_are_not_captured(monkeypatch):
    monkeypatch.setattr(lm_planner, "products_s", lambda wanted, kind: dict.fromkeys(wanted, {"fp32": 2}.get(kind, 1)))
    if not Int8().supported(CPU, nn.Linear(64, 64)).ok:
        pytest.skip("there are no 8-bit products here")
    found, seen = planned(monkeypatch, quantization="int8")
    assert not found.is_applied and "int8" in found.reason and not seen
