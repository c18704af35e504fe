"""Plans keep their reasons, and a second start measures nothing."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from backend import hardware
from backend.codec.spectral import SpectralCodec
from backend.hardware import current_hardware, replace_hardware
from backend.optimize.cpu_graph.model import CpuGraphDualAR
from backend.optimize.lowbit.fused_block import FusedBlock
from backend.optimize.planner import benchmark
from backend.optimize.planner import codec as codec_planner
from backend.optimize.planner import lm as lm_planner
from backend.optimize.planner import plan as planner
from backend.optimize.planner.cache import FOLDER_VARIABLE, plan_folder
from backend.optimize.planner.decision import Plan
from backend.optimize.planner.plan import PlanOptions, apply_plan, make_plan, prepare_process
from tests.support.lm_parity import model, next_logits
from tests.support.machines import MACHINES, X86_AVX2

CPU = torch.device("cpu")
INT8 = PlanOptions(quantization="int8", threads=1)


class Clock:
    """Fakes every measurement and counts them."""

    def __init__(self, **ms):
        self.ms, self.n_asked = {"fp32": 4.0, "bf16": 3.5, "fp16": 3.8, "int8": 1.0, "int4": 2.0, **ms}, 0

    def product_s(self, shape, format, device=CPU):
        self.n_asked += 1
        return self.ms[format] / 1e3 * (1 if torch.get_num_threads() == 1 else 10)

    def products_s(self, needed, format, device=CPU):
        return {shape: self.product_s(shape, format) for shape in needed}

    def spoken_frame_s(self, lm):
        self.n_asked += 1
        return 2e-3 if isinstance(lm, CpuGraphDualAR) else 4e-3

    def decode_s(self, *codecs):
        self.n_asked += len(codecs)
        return tuple(0.5 if has_half_products(codec) else 1.0 for codec in codecs)


def has_half_products(codec):
    return any(getattr(module, "product_dtype", None) == torch.bfloat16 for module in codec.modules())


@pytest.fixture
def others(monkeypatch):
    """What others take of the processor: nothing, however busy the machine that runs the tests is."""
    others = SimpleNamespace(share=0.0)
    monkeypatch.setattr(planner, "CpuLoad", lambda: others)
    monkeypatch.setattr(planner, "busy_share_now", lambda: others.share)
    return others


@pytest.fixture
def clock(monkeypatch, tmp_path, others):
    clock = Clock()
    monkeypatch.setattr(lm_planner, "product_s", clock.product_s)
    monkeypatch.setattr(lm_planner, "products_s", clock.products_s)
    monkeypatch.setattr(lm_planner, "spoken_frame_s", clock.spoken_frame_s)
    monkeypatch.setattr(codec_planner, "decode_s", clock.decode_s)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return clock


@pytest.fixture
def lm():
    return model("s1")


def decision(plan, name):
    (found,) = [d for d in plan.decisions if d.name == name]
    return found


def test_a_second_start_measures_nothing(clock, lm):
    first = make_plan(lm, None, CPU, INT8)
    n_asked = clock.n_asked
    second = make_plan(lm, None, CPU, INT8)
    assert n_asked and clock.n_asked == n_asked
    assert second.is_cached and not first.is_cached and second.decisions == first.decisions


def test_plan_measured_under_load_is_replaced_when_idle(clock, lm, others, caplog):
    caplog.set_level("INFO")
    others.share = 0.6
    busy = make_plan(lm, None, CPU, INT8)
    assert "60 % of the CPU" in caplog.text and not busy.is_cached
    assert make_plan(lm, None, CPU, INT8).is_cached, "they are still there"
    others.share = 0.1
    free = make_plan(lm, None, CPU, INT8)
    assert not free.is_cached and free.decisions == busy.decisions
    others.share = 0.6
    assert make_plan(lm, None, CPU, INT8).is_cached and make_plan(lm, None, CPU, INT8).busy_share == 0.1


@pytest.mark.parametrize("change", ["weights", "wishes", "machine", "hash"])
def test_any_change_is_measured_again(clock, lm, monkeypatch, change):
    make_plan(lm, None, CPU, INT8)
    wishes, weights = INT8, None
    if change == "weights":
        lm = model("s1", seed=1)
    elif change == "wishes":
        wishes = PlanOptions(quantization="int8", threads=2)
    elif change == "hash":
        weights = "0123"
    else:
        monkeypatch.setattr(hardware, "_current", replace(current_hardware(), processor="another"))
    assert not make_plan(lm, None, CPU, wishes, weights=weights).is_cached


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', None])
def test_damaged_plan_is_measured_again_and_replaced(clock, lm, damage, caplog):
    make_plan(lm, None, CPU, INT8)
    (path,) = plan_folder().iterdir()
    text = path.read_text()
    path.write_text(text.replace('"is_applied": true', '"is_applied": 3') if damage is None else damage)
    assert not make_plan(lm, None, CPU, INT8).is_cached
    assert "measuring again" in caplog.text
    assert path.read_text() == text


def test_unwritable_folder_still_gives_a_plan(clock, lm, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert isinstance(make_plan(lm, None, CPU, INT8, folder=tmp_path / "file" / "plans"), Plan)
    assert "could not be saved" in caplog.text


def test_default_options_keep_the_model_exact(clock, lm):
    plan = make_plan(lm, None, CPU, PlanOptions(threads=1))
    assert decision(plan, "precision_fp32").is_applied  # bfloat16 is faster here, but not by enough
    with torch.inference_mode():
        want = next_logits(copy.deepcopy(lm))
        assert torch.equal(next_logits(apply_plan(plan, lm, None)[0]), want)


def test_quantization_is_applied_where_it_is_faster_with_the_figures(clock, lm):
    plan = make_plan(lm, None, CPU, INT8)
    found = decision(plan, "int8")
    assert found.is_applied and "4.0 times" in found.reason and found.measured["int8_ms_per_frame"] > 0
    assert any(isinstance(m, FusedBlock) for m in apply_plan(plan, lm, None)[0].modules())


def test_quantization_is_refused_where_it_is_slower(clock, lm):
    clock.ms["int8"] = 9.0
    found = decision(make_plan(lm, None, CPU, INT8), "int8")
    assert not found.is_applied and "slower" in found.reason and set(found.measured) == {
        "fp32_ms_per_frame", "int8_ms_per_frame",
    }  # fmt: skip


def test_half_precision_is_chosen_where_it_is_much_faster(clock, lm):
    clock.ms["bf16"] = 1.0
    with replace_hardware(MACHINES["x86 AVX512-FP16 AMX"]):
        plan = make_plan(lm, None, CPU, PlanOptions(threads=1))
    assert decision(plan, "precision_bf16").is_applied
    assert apply_plan(plan, lm, None)[0].dtype == torch.bfloat16


def test_thread_count_is_measured(clock, lm, monkeypatch):
    monkeypatch.setattr(hardware, "_current", replace(X86_AVX2, n_cores=2))
    plan = make_plan(lm, None, CPU, PlanOptions(quantization="int8"))
    assert plan.lm_threads == 1
    assert decision(plan, "threads").measured["ms_with_2"] == 10 * decision(plan, "threads").measured["ms_with_1"]


def test_compile_is_refused_for_quantized_layers(clock, lm):
    plan = make_plan(lm, None, CPU, PlanOptions(quantization="int8", compile=True, threads=1))
    assert "does not support 8-bit" in decision(plan, "compile").reason


def test_slowdown_affects_both_compared_calls(monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: now_s)

    def work(seconds):
        nonlocal now_s
        # Ten times as slow in the second half.
        now_s += seconds * (10 if now_s > 1 else 1)

    quick_s, slow_s = benchmark.medians_in_turn_s([lambda: work(0.01), lambda: work(0.012)], budget_s=1.0)
    assert slow_s == pytest.approx(1.2 * quick_s)


def test_codec_is_measured_on_copies(clock, small_codec):
    codec = small_codec
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    with replace_hardware(MACHINES["x86 AVX-512 VNNI"]):
        plan = make_plan(None, codec, CPU, PlanOptions())
    assert decision(plan, "bf16_decoder").is_applied == hasattr(torch.ops.mkldnn, "_linear_pointwise")
    assert not has_half_products(codec) and all(torch.equal(before[n], t) for n, t in codec.state_dict().items())
    assert "FishDAC only" in decision(plan, "packed_dac_fp32").reason
    exact = make_plan(None, codec, CPU, PlanOptions(mixed_precision="fp32"))
    assert not decision(exact, "bf16_decoder").is_applied


@pytest.fixture(scope="module")
def small_codec():
    small = {"encoder_dims": (8, 8), "encoder_depths": (1, 1), "decoder_dims": (8, 8), "decoder_depths": (1, 1)}
    return SpectralCodec(**small, n_codebooks=1, codebook_size=4).eval()


OPTIONS = {
    "defaults": PlanOptions(),
    "int8": PlanOptions(quantization="int8"),
    "int4": PlanOptions(quantization="int4", compile=True),
    "bf16": PlanOptions(mixed_precision="bf16"),
    "fp16": PlanOptions(mixed_precision="fp16", threads=2),
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_gets_a_plan_that_fits_its_hardware(clock, lm, small_codec, machine, options):
    hardware, wanted = MACHINES[machine], OPTIONS[options]
    with replace_hardware(hardware):
        plan = make_plan(lm, small_codec, CPU, wanted)
    assert all(d.reason for d in plan.decisions)
    assert 1 <= plan.lm_threads <= max(hardware.n_cores, wanted.threads or 1)
    applied = {*plan.applied("lm"), *plan.applied("codec")}
    assert ("int8" in applied) == (wanted.quantization == "int8" and hardware.has_fbgemm)
    assert ("int4" in applied) == (wanted.quantization == "int4" and hardware.instructions in ("AVX2", "AVX512"))
    assert hardware.has_bf16_matmul or not applied & {"precision_bf16", "bf16_decoder"}
    assert hardware.has_fp16_matmul or "precision_fp16" not in applied
    if options in ("bf16", "fp16"):
        is_native = hardware.has_bf16_matmul if options == "bf16" else hardware.has_fp16_matmul
        assert (f"precision_{options}" if is_native else "precision_fp32") in applied


@pytest.mark.parametrize("machine", ["CUDA GPU", "old CUDA GPU"])
def test_a_gpu_gets_the_number_formats_it_has(machine):
    (gpu,) = MACHINES[machine].cuda_devices
    device, plain = torch.device("cuda:0"), nn.Linear(2, 2)
    with replace_hardware(MACHINES[machine]):
        assert planner.OPTIMIZATIONS["precision_bf16"]().supported(device, plain).ok == gpu.has_bf16
        assert planner.OPTIMIZATIONS["precision_fp16"]().supported(device, plain).ok
        assert planner.OPTIMIZATIONS["backend_flags"]().supported(device, plain).ok == gpu.has_tf32


def test_every_refusal_names_its_reason(clock, lm):
    plan = make_plan(lm, nn.Identity(), CPU, PlanOptions(quantization="int4", compile=True, threads=1))
    assert plan.refused and all(d.reason for d in plan.refused)


@pytest.fixture
def flags():
    """The process's switches, put back afterwards."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    yield lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("is_applied", [True, False])
def test_backend_flags_follow_the_plan(lm, flags, is_applied):
    before = flags()
    plan = Plan((planner.Decision("backend_flags", "process", is_applied, "because"),), 1, 1)
    prepare_process(plan, PlanOptions(), lm)
    assert flags() == ((True, True) if is_applied else before)


def test_configured_number_of_streams_is_opened(lm, monkeypatch):
    opened = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: opened.append(device))
    plan = Plan((planner.Decision("streams", "process", True, "because"),), 1, 1)
    prepare_process(plan, PlanOptions(num_streams=5), lm)
    assert len(opened) == 5
