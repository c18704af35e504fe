"""Bound calls give the frames of the plain model."""

import copy

import pytest
import torch

from backend.hardware import replace_hardware
from backend.lm.base import SamplerState
from backend.lm.counter_rng import SamplingNoise, exponential, noise_keys
from backend.lm.sampling import FrameSampling
from backend.lm.sampling_options import SamplingOptions
from backend.lm.text_pointer import side_ids
from backend.optimize.cpu_graph import model as cpu_graph
from backend.optimize.cpu_graph import step as cpu_step
from backend.optimize.cpu_graph.model import MAX_ROWS, CpuGraph, CpuGraphDualAR
from backend.optimize.cpu_graph.sampler import CpuGraphSampler
from backend.optimize.lowbit.int4 import Int4
from backend.optimize.lowbit.int8 import Int8
from backend.optimize.planner import lm as lm_planner
from backend.optimize.planner.decision import PlanOptions
from backend.optimize.planner.lm import lm_decisions
from backend.optimize.registry import OPTIMIZATIONS
from backend.weights.checkpoint import load_lm, read_config
from backend.weights.int8_storage import from_int8_rows, to_int8_rows
from tests.support.batch_generation import OPTIONS, BatchGeneration, largest_difference
from tests.support.lm_parity import cosine, model, next_logits
from tests.support.machines import MACHINES
from tests.support.repository import ROOT
from tests.support.tiny_lm import tiny_lm, tiny_prompt

CPU = torch.device("cpu")
GRAPH = CpuGraph()
VOICE = ROOT / "checkpoints" / "phonogram-mini"
KINDS = ("v15", "phonogram", "own tables", "s2", "one codebook")
QUANTIZED_KINDS = ("v15", "s1", "s2", "odd", "one codebook", "own tables")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(params=[8, 16, 32])
def n_bits(request):
    return request.param


def pair(kind, n_bits=32):
    """A plain model, and the same one with bound calls."""
    plain = tiny_lm(kind, attention_qk_norm=False, fast_attention_qk_norm=False)
    if n_bits == 16:
        plain.half().float()
    if n_bits == 8:
        plain.load_state_dict(from_int8_rows(to_int8_rows(plain.state_dict())))
    plain.narrow_head()
    assert GRAPH.supported(CPU, plain).ok
    return plain, GRAPH.apply(copy.deepcopy(plain))


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampling_option_gives_the_plain_models_frames(kind, n_bits):
    plain, bound = pair(kind, n_bits)
    numbers = range(len(OPTIONS))
    expected, actual = BatchGeneration(plain, numbers), BatchGeneration(bound, numbers)
    assert torch.equal(actual.generate(25), expected.generate(25))
    assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
    assert torch.equal(actual.state.recent, expected.state.recent)
    for a, b in zip(actual.samplers, expected.samplers, strict=True):
        assert a.frame == b.frame and (a.pointer is None or a.pointer.path == b.pointer.path)


def test_row_is_equal_alone_and_in_a_batch(n_bits):
    _, bound = pair("own tables", n_bits)
    together = BatchGeneration(bound, range(4))
    speech = together.generate(12)
    for row in range(4):
        alone = BatchGeneration(bound, [row])
        assert torch.equal(alone.generate(12)[0], speech[row])
        if n_bits < 32 and alone.lm.slow_weights.blocks[0].qkv.matrix.multiply is not None:
            assert torch.equal(alone.out.logits[0], together.out.logits[row])


def test_changing_rows_between_frames():
    plain, bound = pair("own tables")
    expected, actual = BatchGeneration(plain, range(3)), BatchGeneration(bound, range(3))
    for rows in ([0, 1, 2], [2, 0], [1], [0, 1, 2]):
        for batch in (expected, actual):
            batch.step_some(rows)
        assert torch.equal(actual.frames[-1], expected.frames[-1])
        assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
    assert actual.state.slow.lengths == expected.state.slow.lengths


@pytest.mark.parametrize("what", ["an end", "no side ids", "many rows", "halves"])
def test_unsupported_steps_use_the_plain_model(what):
    plain, bound = pair("own tables")
    outs = []
    for lm in (plain, bound):
        B = MAX_ROWS + 1 if what == "many rows" else 2
        state = lm.init_state(B, kv_dtype=torch.bfloat16 if what == "halves" else None)
        frames = torch.cat([tiny_prompt(lm, seed=row).tokens[:, 6:7].T for row in range(B)])
        if what == "an end":
            frames[1, 0] = lm.spec.end_id
        side = None if what == "no side ids" else torch.ones(B, lm.spec.n_side, dtype=torch.long)
        out = lm.step(frames, state, range(B), side)
        outs.append((out, lm.sample(out, [SamplerState(OPTIONS[0], row) for row in range(B)], state, range(B))))
    assert torch.equal(outs[0][1], outs[1][1])
    assert largest_difference(outs[0][0], outs[1][0]) <= GRAPH.tolerance


def test_returned_tensors_are_not_overwritten():
    _, bound = pair("own tables")
    batch = BatchGeneration(bound, range(2))
    batch.generate(1)
    out, frames = batch.out, batch.frames[-1]
    kept = [tensor.clone() for tensor in (out.logits, out.hidden, frames)]
    batch.generate(2)
    assert all(map(torch.equal, kept, (out.logits, out.hidden, frames)))


def test_frame_noise_equals_per_decision_noise():
    places = [(0, 0), (7, 3), (-(2**62) - 5, 2**31)]
    streams, ids = range(5), torch.arange(700)
    waits = torch.from_numpy(SamplingNoise(3, streams, 700).log_waits(places))
    keys = noise_keys(*torch.tensor(places).T, torch.tensor(streams))
    for stream in streams:
        assert torch.equal(waits[:, stream], exponential(keys[:, stream], ids.expand(3, 700)).log())


@pytest.mark.parametrize("n_ids", [24, 700])
def test_ties_at_the_cutoff_are_broken_alike(n_ids):
    torch.manual_seed(0)
    options = [SamplingOptions(top_k=k, top_p=1.0, repetition_penalty=1.0) for k in (3, 9, 20)]
    sampler = CpuGraphSampler(3, 2, n_ids, "phonogram")
    recent = torch.full((3, 16, 3), -1)
    for frame in range(40):
        samplers = [SamplerState(o, seed, frame=frame) for seed, o in enumerate(options)]
        logits = torch.randn(3, n_ids).mul(2).round()
        sampler.start(samplers, recent.numpy())
        reference = FrameSampling(samplers, recent, 2, "phonogram")
        assert sampler.code(logits.numpy(), 1).tolist() == reference.code(logits, 1).tolist()


def test_unsupported_models_are_rejected_with_a_reason(monkeypatch):
    def reason(kind="own tables", device="cpu", **changes):
        support = GRAPH.supported(torch.device(device), tiny_lm(kind, **changes).narrow_head())
        assert not support.ok
        return support.reason

    assert "norms or biases" in reason("s1") and "norms or biases" in reason("odd")
    assert "needs a CPU" in reason(device="cuda")
    assert "DualAR only" in GRAPH.supported(CPU, torch.nn.Linear(2, 2)).reason
    assert "bound" in GRAPH.supported(CPU, pair("v15")[1]).reason
    monkeypatch.setattr(cpu_graph, "MAX_WEIGHTS", 100)
    assert "M weights" in reason()
    assert "float32" in GRAPH.supported(CPU, tiny_lm("v15").bfloat16()).reason


@pytest.fixture(params=[Int8, Int4])
def quantize(request):
    optimization = request.param()
    support = optimization.supported(CPU, torch.nn.Linear(64, 64))
    if not support.ok:
        pytest.skip(support.reason)
    return optimization.apply


@pytest.fixture(params=["narrow", "wide"])
def _both_attention_kinds(request, monkeypatch):
    if request.param == "wide":
        monkeypatch.setattr(cpu_step, "WIDE", 0)


@pytest.mark.usefixtures("_both_attention_kinds")
@pytest.mark.parametrize("kind", QUANTIZED_KINDS)
def test_quantized_bound_model_is_close_to_the_quantized_model(quantize, kind):
    plain = quantize(model(kind))
    bound = CpuGraphDualAR.of(copy.copy(plain))
    expected, actual = BatchGeneration(plain, range(3)), BatchGeneration(bound, range(3))
    n_equal = 0
    for _ in range(20):
        expected.generate(1)
        actual.generate(1)
        n_equal += (expected.frames[-1] == actual.frames[-1]).sum().item()
        # Both continue from the same frame and sample the next one from the same logits.
        frames = expected.frames[-1]
        side = side_ids([sampler.pointer for sampler in expected.samplers])
        for batch in (expected, actual):
            batch.state.slow.lengths[:] = [n - 1 for n in batch.state.slow.lengths]
            batch.out = batch.lm.step(frames, batch.state, batch.rows, side)
        pairs = [(expected.out.logits, actual.out.logits), (expected.out.hidden, actual.out.hidden)]
        # Sums in another order occasionally round an activation to its neighbor.
        assert all(cosine(a, b) > 0.999 for a, b in pairs)
        actual.out, actual.state.recent = expected.out, expected.state.recent.clone()
        for mine, other in zip(actual.samplers, expected.samplers, strict=True):
            mine.pointer = copy.deepcopy(other.pointer)
    assert n_equal / (20 * expected.frames[-1].numel()) > 0.97


@pytest.mark.usefixtures("_both_attention_kinds")
@pytest.mark.parametrize("kind", QUANTIZED_KINDS)
def test_quantized_row_is_equal_alone_and_in_a_batch(quantize, kind):
    bound = CpuGraphDualAR.of(quantize(model(kind)))
    together = BatchGeneration(bound, range(4), is_endless=True)
    speech = together.generate(10)
    for row in range(4):
        alone = BatchGeneration(bound, [row], is_endless=True)
        assert torch.equal(alone.generate(10)[0], speech[row])
        assert torch.equal(alone.out.logits[0], together.out.logits[row])


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_plan_applies_cpu_graph_to_quantized_models(monkeypatch, quantization):
    monkeypatch.setattr(
        lm_planner, "products_s", lambda expected, kind, *_: dict.fromkeys(expected, 1.0 if kind == "fp32" else 0.1)
    )
    times = iter((4e-3, 1e-3))
    monkeypatch.setattr(lm_planner, "spoken_frame_s", lambda lm: next(times))
    lm = model("s1").bfloat16()
    before = {name: tensor.clone() for name, tensor in lm.state_dict().items()}
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(quantization=quantization, threads=1))
    applied = [d.name for d in decisions if d.is_applied]
    if quantization not in applied:
        pytest.skip(next(d.reason for d in decisions if d.name == quantization))
    assert applied[-1] == "cpu_graph"
    assert all(torch.equal(before[name], tensor) for name, tensor in lm.state_dict().items())
    for name in applied:
        if name != "threads":
            lm = OPTIMIZATIONS[name]().apply(lm)
    assert isinstance(lm, CpuGraphDualAR) and torch.isfinite(next_logits(lm)).all()


@pytest.mark.parametrize(("seconds", "is_applied"), [((4e-3, 1e-3), True), ((1e-3, 4e-3), False)])
def test_plan_applies_it_if_whole_frames_are_faster(monkeypatch, seconds, is_applied):
    times = iter(seconds)
    monkeypatch.setattr(lm_planner, "spoken_frame_s", lambda lm: next(times))
    lm = tiny_lm("own tables").narrow_head()
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(mixed_precision="fp32", threads=1))
    (actual,) = [d for d in decisions if d.name == "cpu_graph"]
    assert actual.is_applied == is_applied and len(actual.measured) == 2
    assert not isinstance(lm, CpuGraphDualAR)


def test_rejected_model_is_not_copied(monkeypatch):
    monkeypatch.setattr(cpu_graph, "MAX_WEIGHTS", 100)
    monkeypatch.setattr(lm_planner.copy, "deepcopy", lambda model: pytest.fail("the model was copied"))
    decisions, _ = lm_decisions(
        tiny_lm("own tables").narrow_head(), CPU, PlanOptions(mixed_precision="fp32", threads=1)
    )
    (actual,) = [d for d in decisions if d.name == "cpu_graph"]
    assert not actual.is_applied and "M weights" in actual.reason


def test_half_precision_models_are_not_bound():
    lm = tiny_lm("own tables", fast_dim=32, intermediate_size=64).narrow_head()
    with replace_hardware(MACHINES["x86 AVX512-FP16 AMX"]):
        decisions, _ = lm_decisions(lm, CPU, PlanOptions(mixed_precision="bf16", threads=1))
    (actual,) = [d for d in decisions if d.name == "cpu_graph"]
    assert not actual.is_applied and "precision_bf16" in actual.reason


@pytest.mark.slow
def test_built_in_voice_codes_are_equal():
    plain = load_lm(VOICE, read_config(VOICE))
    bound = GRAPH.apply(copy.deepcopy(plain))
    options = (SamplingOptions.for_family("phonogram"), SamplingOptions.greedy())
    together = BatchGeneration(bound, range(4), options, n_symbols=300)
    speech = together.generate(300)
    expected = BatchGeneration(plain, range(4), options, n_symbols=300)
    assert torch.equal(speech, expected.generate(300))
    assert largest_difference(together.out, expected.out) <= GRAPH.tolerance
    alone = BatchGeneration(bound, [2], options, n_symbols=300)
    assert torch.equal(alone.generate(300)[0], speech[2])
