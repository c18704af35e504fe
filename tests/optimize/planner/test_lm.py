"""Where recording is refused, and how a plan decides on it."""

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

CPU, CARD = torch.device("cpu"), torch.device("cuda")
GRAPH = CudaGraph()


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def test_it_is_refused_where_it_cannot_run():
    plain = model("phonogram")
    assert "CUDA" in GRAPH.supported(CPU, plain).reason
    assert GRAPH.supported(CARD, plain).ok, "a pointer is no obstacle"
    assert "Linear" in GRAPH.supported(CARD, nn.Linear(2, 2)).reason
    assert "already" in GRAPH.supported(CARD, CudaGraphDualAR.of(copy.copy(plain))).reason

    class OtherLinear(nn.Linear):
        pass

    odd = model("s1")
    odd.layers[0].feed_forward.w2 = OtherLinear(2, 2)
    assert "quantized" in GRAPH.supported(CARD, odd).reason
    odd.layers[0].feed_forward.w2 = nn.Linear(2, 2)
    odd.layers[0].feed_forward.compile()
    assert "compiled" in GRAPH.supported(CARD, odd).reason
    odd.layers[0] = nn.Identity()
    assert "plain" in GRAPH.supported(CARD, odd).reason


def planned(monkeypatch, seconds=(4e-3, 1e-3), given_up=None, **wishes):
    """The plan's decision where a card would be, with the times of a frame before and after, and what was measured."""
    times, seen, lm = iter(seconds), [], model("s1")

    def spoken(small):
        seen.append(small)
        if isinstance(small, CudaGraphDualAR):
            small.given_up = given_up
        return next(times)

    monkeypatch.setattr(lm_planner, "spoken_frame_s", spoken)
    monkeypatch.setattr(CpuGraph, "supported", lambda *_: Support(False, "a processor's"))
    monkeypatch.setattr(CudaGraph, "supported", lambda *_: Support(True, "as on a card"))
    before = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(**{"mixed_precision": "fp32", "threads": 1, **wishes}))
    assert all(torch.equal(before[name], tensor) for name, tensor in lm.state_dict().items())
    assert not isinstance(lm, CudaGraphDualAR)
    (found,) = [d for d in decisions if d.name == "cuda_graph"]
    return found, seen


@pytest.mark.parametrize(("seconds", "is_applied"), [((4e-3, 1e-3), True), ((1e-3, 4e-3), False)])
def test_the_plan_takes_it_where_a_layer_of_each_stack_is_faster(monkeypatch, seconds, is_applied):
    found, seen = planned(monkeypatch, seconds)
    assert found.is_applied == is_applied and len(found.measured) == 2
    assert [len(small.layers) for small in seen] == [1, 1] and isinstance(seen[1], CudaGraphDualAR)


def test_the_plan_says_why_recording_was_given_up(monkeypatch):
    found, _ = planned(monkeypatch, given_up="recording failed")
    assert not found.is_applied and found.reason == "recording failed"


def test_the_plan_tries_it_in_the_precision_that_will_speak(monkeypatch):
    monkeypatch.setattr(Precision, "supported", lambda *_: Support(True, "as on a card"))
    found, seen = planned(monkeypatch, mixed_precision="bf16")
    assert found.is_applied and [small.dtype for small in seen] == [torch.bfloat16] * 2


def test_it_can_be_switched_off(monkeypatch):
    found, seen = planned(monkeypatch, cuda_graphs=False)
    assert not found.is_applied and "ENABLE_CUDA_GRAPHS" in found.reason and not seen


def test_quantized_models_are_not_recorded(monkeypatch):
    monkeypatch.setattr(lm_planner, "products_s", lambda wanted, kind: dict.fromkeys(wanted, {"fp32": 2}.get(kind, 1)))
    if not Int8().supported(CPU, nn.Linear(64, 64)).ok:
        pytest.skip("there are no 8-bit products here")
    found, seen = planned(monkeypatch, quantization="int8")
    assert not found.is_applied and "int8" in found.reason and not seen
