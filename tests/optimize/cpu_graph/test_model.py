"""Frames from bound calls say what the plain model says."""

import copy
from pathlib import Path

import pytest
import torch

from backend.lm.base import SamplerState
from backend.lm.counter_rng import FrameNoise, exponential, noise_keys
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
from tests.support.lm_parity import cosine, model, next_logits
from tests.support.speakers import OPTIONS, Speakers, largest_difference
from tests.support.tiny_lm import tiny_lm, tiny_prompt

CPU = torch.device("cpu")
TAPE = CpuGraph()
VOICE = Path(__file__).parents[2] / "checkpoints" / "phonogram-mini"
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
    """A plain model and the same one taped."""
    plain = tiny_lm(kind, attention_qk_norm=False, fast_attention_qk_norm=False)
    if n_bits == 16:
        plain.half().float()
    if n_bits == 8:
        plain.load_state_dict(from_int8_rows(to_int8_rows(plain.state_dict())))
    plain.narrow_head()
    assert TAPE.supported(CPU, plain).ok
    return plain, TAPE.apply(copy.deepcopy(plain))


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_drawing_gives_the_frames_of_the_plain_model(kind, n_bits):
    plain, taped = pair(kind, n_bits)
    numbers = range(len(OPTIONS))
    wanted, found = Speakers(plain, numbers), Speakers(taped, numbers)
    assert torch.equal(found.speak(25), wanted.speak(25))
    assert largest_difference(found.out, wanted.out) <= TAPE.tolerance
    assert torch.equal(found.state.recent, wanted.state.recent)
    for a, b in zip(found.samplers, wanted.samplers, strict=True):
        assert a.frame == b.frame and (a.pointer is None or a.pointer.path == b.pointer.path)


def test_a_row_says_the_same_alone_and_beside_others(n_bits):
    _, taped = pair("own tables", n_bits)
    together = Speakers(taped, range(4))
    said = together.speak(12)
    for row in range(4):
        alone = Speakers(taped, [row])
        assert torch.equal(alone.speak(12)[0], said[row])
        if n_bits < 32 and alone.lm.slow_matrices[0].qkv.matrix.multiply is not None:
            assert torch.equal(alone.out.logits[0], together.out.logits[row])


def test_rows_come_and_go_between_frames():
    plain, taped = pair("own tables")
    wanted, found = Speakers(plain, range(3)), Speakers(taped, range(3))
    for rows in ([0, 1, 2], [2, 0], [1], [0, 1, 2]):
        for speakers in (wanted, found):
            speakers.speak_on(rows)
        assert torch.equal(found.said[-1], wanted.said[-1])
        assert largest_difference(found.out, wanted.out) <= TAPE.tolerance
    assert found.state.slow.lengths == wanted.state.slow.lengths


@pytest.mark.parametrize("what", ["an end", "no side ids", "many rows", "halves"])
def test_what_the_tape_was_not_made_for_is_left_to_the_plain_model(what):
    plain, taped = pair("own tables")
    outs = []
    for lm in (plain, taped):
        B = MAX_ROWS + 1 if what == "many rows" else 2
        state = lm.init_state(B, kv_dtype=torch.bfloat16 if what == "halves" else None)
        frames = torch.cat([tiny_prompt(lm, seed=row).tokens[:, 6:7].T for row in range(B)])
        if what == "an end":
            frames[1, 0] = lm.spec.end_id
        side = None if what == "no side ids" else torch.ones(B, lm.spec.n_side, dtype=torch.long)
        out = lm.step(frames, state, range(B), side)
        outs.append((out, lm.sample(out, [SamplerState(OPTIONS[0], row) for row in range(B)], state, range(B))))
    assert torch.equal(outs[0][1], outs[1][1])
    assert largest_difference(outs[0][0], outs[1][0]) <= TAPE.tolerance


def test_what_a_step_returns_is_not_overwritten_by_the_next():
    _, taped = pair("own tables")
    speakers = Speakers(taped, range(2))
    speakers.speak(1)
    out, frames = speakers.out, speakers.said[-1]
    kept = [tensor.clone() for tensor in (out.logits, out.hidden, frames)]
    speakers.speak(2)
    assert all(map(torch.equal, kept, (out.logits, out.hidden, frames)))


def test_the_noise_of_a_frame_is_that_of_its_decisions():
    places = [(0, 0), (7, 3), (-(2**62) - 5, 2**31)]
    streams, ids = range(5), torch.arange(700)
    waits = torch.from_numpy(FrameNoise(3, streams, 700).log_waits(places))
    keys = noise_keys(*torch.tensor(places).T, torch.tensor(streams))
    for stream in streams:
        assert torch.equal(waits[:, stream], exponential(keys[:, stream], ids.expand(3, 700)).log())


@pytest.mark.parametrize("n_ids", [24, 700])
def test_equal_logits_at_the_end_of_the_kept_ones_are_told_apart_alike(n_ids):
    torch.manual_seed(0)
    options = [SamplingOptions(top_k=k, top_p=1.0, repetition_penalty=1.0) for k in (3, 9, 20)]
    tape = CpuGraphSampler(3, 2, n_ids, "phonogram")
    recent = torch.full((3, 16, 3), -1)
    for frame in range(40):
        samplers = [SamplerState(o, seed, frame=frame) for seed, o in enumerate(options)]
        logits = torch.randn(3, n_ids).mul(2).round()
        tape.begin(samplers, recent.numpy())
        drawn = FrameSampling(samplers, recent, 2, "phonogram")
        assert tape.code(logits.numpy(), 1).tolist() == drawn.code(logits, 1).tolist()


def test_it_is_refused_with_the_reason(monkeypatch):
    def reason(kind="own tables", device="cpu", **changes):
        support = TAPE.supported(torch.device(device), tiny_lm(kind, **changes).narrow_head())
        assert not support.ok
        return support.reason

    assert "norms or biases" in reason("s1") and "norms or biases" in reason("odd")
    assert "processor" in reason(device="cuda")
    assert "DualAR only" in TAPE.supported(CPU, torch.nn.Linear(2, 2)).reason
    assert "bound" in TAPE.supported(CPU, pair("v15")[1]).reason
    monkeypatch.setattr(cpu_graph, "MAX_WEIGHTS", 100)
    assert "M weights" in reason()
    assert "float32" in TAPE.supported(CPU, tiny_lm("v15").bfloat16()).reason


@pytest.fixture(params=[Int8, Int4])
def quantize(request):
    optimization = request.param()
    support = optimization.supported(CPU, torch.nn.Linear(64, 64))
    if not support.ok:
        pytest.skip(support.reason)
    return optimization.apply


@pytest.fixture(params=["narrow", "wide"])
def _either_way_of_attending(request, monkeypatch):
    if request.param == "wide":
        monkeypatch.setattr(cpu_step, "WIDE", 0)


@pytest.mark.usefixtures("_either_way_of_attending")
@pytest.mark.parametrize("kind", QUANTIZED_KINDS)
def test_a_quantized_model_says_with_bound_calls_what_it_says_without(quantize, kind):
    plain = quantize(model(kind))
    taped = CpuGraphDualAR.of(copy.copy(plain))
    wanted, found = Speakers(plain, range(3)), Speakers(taped, range(3))
    n_alike = 0
    for _ in range(20):
        wanted.speak(1)
        found.speak(1)
        n_alike += (wanted.said[-1] == found.said[-1]).sum().item()
        # Both go on from the same frame, and draw the next one from the same logits.
        frames = wanted.said[-1]
        side = side_ids([sampler.pointer for sampler in wanted.samplers])
        for speakers in (wanted, found):
            speakers.state.slow.lengths[:] = [n - 1 for n in speakers.state.slow.lengths]
            speakers.out = speakers.lm.step(frames, speakers.state, speakers.rows, side)
        pairs = [(wanted.out.logits, found.out.logits), (wanted.out.hidden, found.out.hidden)]
        # Here and there a sum in another order rounds an activation to its neighbor.
        assert all(cosine(a, b) > 0.999 for a, b in pairs)
        found.out, found.state.recent = wanted.out, wanted.state.recent.clone()
        for mine, other in zip(found.samplers, wanted.samplers, strict=True):
            mine.pointer = copy.deepcopy(other.pointer)
    assert n_alike / (20 * wanted.said[-1].numel()) > 0.97


@pytest.mark.usefixtures("_either_way_of_attending")
@pytest.mark.parametrize("kind", QUANTIZED_KINDS)
def test_a_quantized_row_says_the_same_alone_and_beside_others(quantize, kind):
    taped = CpuGraphDualAR.of(quantize(model(kind)))
    together = Speakers(taped, range(4), is_endless=True)
    said = together.speak(10)
    for row in range(4):
        alone = Speakers(taped, [row], is_endless=True)
        assert torch.equal(alone.speak(10)[0], said[row])
        assert torch.equal(alone.out.logits[0], together.out.logits[row])


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_the_plan_binds_the_calls_of_quantized_models(monkeypatch, quantization):
    monkeypatch.setattr(
        lm_planner, "products_s", lambda wanted, kind: dict.fromkeys(wanted, 1.0 if kind == "fp32" else 0.1)
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
def test_the_plan_takes_it_where_whole_frames_are_faster(monkeypatch, seconds, is_applied):
    times = iter(seconds)
    monkeypatch.setattr(lm_planner, "spoken_frame_s", lambda lm: next(times))
    lm = tiny_lm("own tables").narrow_head()
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(mixed_precision="fp32", threads=1))
    (found,) = [d for d in decisions if d.name == "cpu_graph"]
    assert found.is_applied == is_applied and len(found.measured) == 2
    assert not isinstance(lm, CpuGraphDualAR)


def test_a_model_that_is_refused_is_not_copied_first(monkeypatch):
    monkeypatch.setattr(cpu_graph, "MAX_WEIGHTS", 100)
    monkeypatch.setattr(lm_planner.copy, "deepcopy", lambda model: pytest.fail("copied, however large it is"))
    decisions, _ = lm_decisions(
        tiny_lm("own tables").narrow_head(), CPU, PlanOptions(mixed_precision="fp32", threads=1)
    )
    (found,) = [d for d in decisions if d.name == "cpu_graph"]
    assert not found.is_applied and "M weights" in found.reason


def test_models_in_halves_keep_their_own_way():
    lm = tiny_lm("own tables", fast_dim=32, intermediate_size=64).narrow_head()
    decisions, _ = lm_decisions(lm, CPU, PlanOptions(mixed_precision="bf16", threads=1))
    (found,) = [d for d in decisions if d.name == "cpu_graph"]
    assert not found.is_applied and ("precision_bf16" in found.reason or not decisions[0].is_applied)


@pytest.mark.slow
def test_the_built_in_voice_says_the_same_code_for_code():
    plain = load_lm(VOICE, read_config(VOICE))
    taped = TAPE.apply(copy.deepcopy(plain))
    options = (SamplingOptions.for_family("phonogram"), SamplingOptions.greedy())
    together = Speakers(taped, range(4), options, n_symbols=300)
    said = together.speak(300)
    wanted = Speakers(plain, range(4), options, n_symbols=300)
    assert torch.equal(said, wanted.speak(300))
    assert largest_difference(together.out, wanted.out) <= TAPE.tolerance
    alone = Speakers(taped, [2], options, n_symbols=300)
    assert torch.equal(alone.speak(300)[0], said[2])
