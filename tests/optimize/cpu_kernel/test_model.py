"""Compiled kernels compute the frames of the plain int8 model."""

import copy
import itertools
import threading
from types import SimpleNamespace

import pytest
import torch

from backend.errors import EngineFailure, LimitExceeded
from backend.lm.spec import Prompt
from backend.optimize.cpu_graph.model import CpuGraphDualAR
from backend.optimize.cpu_kernel import compilation as compile_module
from backend.optimize.cpu_kernel import model as kernel_model
from backend.optimize.cpu_kernel.compilation import Functions, best_form
from backend.optimize.cpu_kernel.matrices import KernelMatrix
from backend.optimize.cpu_kernel.model import CpuKernel, CpuKernelDualAR
from backend.optimize.cpu_kernel.team import Team
from backend.optimize.lowbit.int8 import Int8, Int8Matrix
from backend.optimize.planner import lm as lm_planner
from backend.optimize.planner.decision import Plan, PlanOptions
from backend.optimize.planner.lm import lm_decisions
from tests.support.batch_generation import BatchGeneration, largest_difference
from tests.support.lm_parity import cosine, frames, model, next_logits
from tests.support.machines import MACHINES
from tests.support.tiny_lm import tiny_lm, tiny_prompt

CPU = torch.device("cpu")
KINDS = ("v15", "s1", "s2", "odd", "one codebook", "own tables", "phonogram", "wide heads")


def int8(kind):
    # Heads of 84 pass every loop over their numbers: by 64, by 16 and one at a time.
    lm = tiny_lm("v15", head_dim=84, dim=40).narrow_head() if kind == "wide heads" else model(kind)
    return Int8().apply(lm)


def kernels(kind, compiled):
    return CpuKernelDualAR.of(int8(kind), compiled)


@pytest.mark.parametrize("shape", [(96, 256), (40, 20), (33, 48)])
@pytest.mark.parametrize("has_norm", [False, True])
def test_matrix_equals_the_int8_matrix(compiled, shape, has_norm):
    generator = torch.Generator().manual_seed(0)
    weight, norm = torch.randn(shape, generator=generator), torch.rand(shape[1], generator=generator) + 0.5
    plain = Int8Matrix(weight, norm, 1e-5) if has_norm else Int8Matrix(weight)
    rows = torch.randn(70, shape[1], generator=generator)
    expected, actual = plain(rows), KernelMatrix(plain, compiled.functions)(rows)
    assert (actual - expected).abs().max() <= 1e-6 * expected.abs().max()
    if shape[0] % 2 == 0:
        assert torch.equal(KernelMatrix(plain, compiled.functions, is_gated=True)(rows), actual)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_int8_models(compiled, kind):
    plain, lm = int8(kind), kernels(kind, compiled)
    expected, actual = next_logits(plain), next_logits(lm)
    assert 1 - cosine(actual, expected) <= CpuKernel().tolerance
    expected, actual = BatchGeneration(plain, range(3), is_endless=True), BatchGeneration(lm, range(3), is_endless=True)
    assert (actual.generate(12) == expected.generate(12)).float().mean() > 0.97
    assert actual.state.slow.lengths == expected.state.slow.lengths
    if torch.equal(actual.frames[-1], expected.frames[-1]):
        assert torch.equal(actual.state.recent, expected.state.recent)


@pytest.mark.parametrize("kind", KINDS)
def test_row_is_equal_alone_in_a_batch_and_with_any_threads(compiled, kind):
    lm = kernels(kind, compiled)
    together = BatchGeneration(lm, range(5), is_endless=True)
    speech = together.generate(8)
    for n_threads, row in ((1, 0), (2, 1), (3, 4)):
        torch.set_num_threads(n_threads)
        alone = BatchGeneration(lm, [row], is_endless=True)
        assert torch.equal(alone.generate(8)[0], speech[row])
        for mine, other in zip(alone.out[:2], together.out[:2], strict=True):
            assert torch.equal(mine[0], other[row])


def test_rows_join_and_leave(compiled):
    lm = kernels("own tables", compiled)
    whole, changing = BatchGeneration(lm, range(3)), BatchGeneration(lm, range(3))
    whole.generate(1)
    changing.generate(1)
    for rows in ([2, 0], [1]):
        side = None if lm.spec.n_side == 0 else torch.ones(len(rows), lm.spec.n_side, dtype=torch.long)
        out = lm.step(whole.frames[-1][rows], changing.state, rows, side)
        for i, row in enumerate(rows):
            expected = lm.step(whole.frames[-1][[row]], whole.state, [row], None if side is None else side[:1])
            assert torch.equal(out.logits[i], expected.logits[0])
    assert changing.state.slow.lengths == whole.state.slow.lengths


def test_prompt_does_not_depend_on_its_parts_or_on_a_stored_prefix(compiled):
    lm = kernels("s1", compiled)
    prompt = tiny_prompt(lm, n_text=75)
    state = lm.init_state(3)
    whole = lm.prefill(prompt, state, 0)
    cuts = [0, 1, 9, 70, prompt.tokens.shape[1]]
    for first, last in itertools.pairwise(cuts):
        parts = lm.prefill(Prompt(prompt.tokens[:, first:last]), state, 1)
    state.load_prefix(2, state.copy_prefix(0, 9))
    resumed = lm.prefill(Prompt(prompt.tokens[:, 9:]), state, 2)
    assert torch.equal(parts.logits, whole.logits) and torch.equal(resumed.logits, whole.logits)


def test_batch_larger_than_one_job(compiled):
    lm = kernels("s1", compiled)
    numbers = [n % 5 for n in range(70)]
    speech = BatchGeneration(lm, numbers, is_endless=True).generate(2)
    assert torch.equal(BatchGeneration(lm, numbers[-1:], is_endless=True).generate(2)[0], speech[-1])


def test_too_long_contexts_are_rejected(compiled):
    lm = kernels("s1", compiled)
    state = lm.init_state(1, max_frames=20)
    with pytest.raises(LimitExceeded, match="limit is 20"):
        lm.prefill(tiny_prompt(lm, n_text=30), state, 0)
    lm.prefill(tiny_prompt(lm, n_text=14), state, 0)
    with pytest.raises(LimitExceeded):
        lm.step(frames(lm, 0), state, [0])
    with pytest.raises(AssertionError):
        lm.weights.slow.run(state.rows, 1, [1], [0], state.slow.keys, state.slow.values, None, 0)


def test_halved_keys_use_the_plain_layers(compiled):
    plain, lm = int8("s1"), kernels("s1", compiled)
    outs = []
    for each in (plain, lm):
        state = each.init_state(1, kv_dtype=torch.bfloat16)
        each.prefill(tiny_prompt(each), state, 0)
        outs.append(each.step(frames(each, 0), state, [0]))
    assert largest_difference(*outs) < 1e-4


class Later:
    """A compilation that becomes ready when told."""

    def __init__(self, compiled):
        self.compiled, self.state, self.reason = compiled, "compiling", "compiling"
        self.functions, self.is_ready = None, SimpleNamespace()

    def wait_for_cache(self):
        return False

    def wait(self, timeout_s=None):
        self.functions = self.compiled.functions
        return True


@pytest.mark.parametrize(("seconds", "is_faster"), [((2.0, 1.0), True), ((1.0, 2.0), False)])
def test_bound_calls_serve_until_the_kernels_are_measured(compiled, monkeypatch, seconds, is_faster):
    monkeypatch.setattr(kernel_model.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(kernel_model, "frame_seconds", lambda lm, compiled: seconds)
    bound = CpuGraphDualAR.of(int8("s1"))
    lm = CpuKernelDualAR.of(int8("s1"), Later(compiled))
    expected, actual = BatchGeneration(bound, [0]), BatchGeneration(lm, [0])
    assert torch.equal(expected.generate(3), actual.generate(3)) and lm.weights is None
    assert torch.equal(expected.out.logits, actual.out.logits) and lm.kernel_state == "compiling"
    lm._pack_when_compiled()
    BatchGeneration(lm, [1])
    assert (lm.weights is not None) == lm.is_wanted == is_faster
    assert ("running" if is_faster else "not faster") in lm.kernel_state
    # A row that began before goes on.
    assert (expected.generate(5) == actual.generate(5)).float().mean() > 0.9
    assert isinstance(lm.layers[0].qkv, KernelMatrix) == is_faster


def planned(monkeypatch, seconds=(2.0, 1.0), state="ready", reason="compiled", **options):
    monkeypatch.setattr(
        lm_planner, "products_s", lambda expected, kind, *_: dict.fromkeys(expected, 1.0 if kind == "fp32" else 0.1)
    )
    monkeypatch.setattr(lm_planner, "spoken_frame_s", lambda lm: 1.0)
    found = SimpleNamespace(state=state, reason=reason, wait_for_cache=lambda: state == "ready")
    monkeypatch.setattr(lm_planner, "compilation", lambda: found)
    monkeypatch.setattr(lm_planner, "frame_seconds", lambda lm, compiled: seconds)
    options = {"quantization": "int8", "threads": 1, "cpu_kernel": True, **options}
    decisions, _ = lm_decisions(model("s1"), CPU, PlanOptions(**options))
    (decision,) = [d for d in decisions if d.name == "cpu_kernel"]
    return decision


@pytest.mark.usefixtures("compiled")
def test_plan_takes_the_kernels_where_they_are_faster(monkeypatch):
    assert planned(monkeypatch).is_applied and len(planned(monkeypatch).measured) == 2
    slower = planned(monkeypatch, seconds=(1.0, 1.0))
    assert not slower.is_applied and slower.reason == "not faster here" and slower.measured
    assert "ENABLE_CPU_KERNEL" in planned(monkeypatch, cpu_kernel=False).reason
    assert "int8 layers only" in planned(monkeypatch, quantization="none", mixed_precision="fp32").reason
    failed = planned(monkeypatch, state="failed", reason="the kernels cannot be compiled here")
    assert not failed.is_applied and "cannot be compiled" in failed.reason


@pytest.mark.usefixtures("compiled")
def test_plan_made_while_compiling_is_not_kept(monkeypatch):
    decision = planned(monkeypatch, state="compiling", reason="compiling for vnni")
    assert decision.is_applied and "measured before it is used" in decision.reason
    assert not Plan((decision,), 1, 1).is_measured and Plan((planned(monkeypatch),), 1, 1).is_measured


def test_both_paths_are_measured(compiled):
    lm = int8("s1")
    before = copy.copy(lm._modules)
    whole, less = kernel_model.frame_seconds(lm, compiled)
    assert whole > 0 and less > 0 and lm._modules == before and len(lm.layers) == 2


def test_unsupported_models_are_rejected_with_a_reason(compiled, monkeypatch):
    optimization = CpuKernel()
    assert optimization.supported(CPU, int8("s1")).ok
    assert "int8" in optimization.supported(CPU, model("s1")).reason
    assert "CPU" in optimization.supported(torch.device("cuda"), int8("s1")).reason
    assert "already" in optimization.supported(CPU, kernels("s1", compiled)).reason
    monkeypatch.setattr(compile_module, "find_spec", lambda name: None)
    assert "numba is not installed" in optimization.supported(CPU, int8("s1")).reason


def test_form_follows_the_machine(monkeypatch):
    monkeypatch.delenv(compile_module.CPU_NAME, raising=False)
    forms = {name: best_form(hardware) for name, hardware in MACHINES.items()}
    assert forms["x86 AVX-512 VNNI"] == "vnni" and forms["x86 AVX2"] == "avx2"
    assert forms["ARM NEON"] == forms["x86 without AVX2"] == "portable"
    monkeypatch.setenv(compile_module.CPU_NAME, "generic")
    assert best_form(MACHINES["x86 AVX-512 VNNI"]) == "portable"


def test_ended_thread_is_an_error_and_not_a_hang(monkeypatch):
    def serve(address, thread, n_threads, seen):
        raise RuntimeError("ended")

    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    team = Team(Functions(lambda *_: pytest.fail("a job ran without its team"), serve), 2)
    team._threads[0].join()
    with pytest.raises(EngineFailure, match="2 are needed"):
        team.run(torch.zeros(30, dtype=torch.int64).numpy())
    assert ended


def test_thread_that_fails_during_a_job_is_an_error(compiled):
    lm = kernels("s1", compiled)
    BatchGeneration(lm, [0]).generate(1)

    is_running = threading.Event()

    def serve(address, thread, n_threads, seen):
        is_running.wait()
        return -1

    team = Team(Functions(compiled.functions.run, serve), 2)
    stack = lm.weights.slow
    buffers = stack.buffers(1)
    buffers.reserve(1, 2)
    keys = torch.zeros(len(stack.layers), 1, stack.n_kv_heads, 4, stack.head_dim)
    stack.run(buffers, 1, [0], [0], keys, keys.clone(), None, 0)
    is_running.set()
    with pytest.raises(EngineFailure, match=r"ended during a frame|has ended"):
        team.run(buffers.job)


def test_next_start_loads_from_the_cache(compiled):
    from backend.optimize.cpu_kernel.program import build

    (function, signature), _ = build(compiled.form, compile_module._digest(compiled.form))
    if function.stats.cache_path is None:
        pytest.skip("no folder to keep a cache in")
    function.compile(signature)
    assert function.stats.cache_hits and not function.stats.cache_misses
