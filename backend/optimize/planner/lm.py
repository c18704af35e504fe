"""Selects optimizations of a language model for this device, by benchmarks of its matrix shapes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.lm.blocks import FeedForward
from backend.lm.dual_ar import DualAR
from backend.optimize.cpu_kernel.compilation import compilation
from backend.optimize.cpu_kernel.model import CpuKernel, frame_seconds
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.optimize.planner.benchmark import Shape, frame_s, median_s, product_s, products_s, shapes, spoken_frame_s
from backend.optimize.planner.decision import Decision, PlanOptions
from backend.optimize.registry import OPTIMIZATIONS
from backend.optimize.threads import choose_threads, measure_threads, thread_counts, use_threads

# Another number format changes a seed's output, so it must bring at least this speedup.
WORTHWHILE = 1.25


def lm_decisions(lm: nn.Module, device: torch.device, options: PlanOptions) -> tuple[list[Decision], int]:
    """Returns decisions in the order to apply them, and the fastest thread count for matrix products."""
    decisions: list[Decision] = []
    counts = shapes(lm)
    before = torch.get_num_threads()
    try:
        threads = current_hardware().n_cores
        if device.type == "cpu":
            decisions.append(_threads(counts, options))
            threads = int(decisions[0].measured.get("threads", options.threads or 1))
            use_threads(threads)
        quantized = _quantization(lm, counts, device, options)
        decisions += quantized
        is_quantized = any(d.is_applied for d in quantized)
        decisions += _precision(lm, counts, device, options, is_quantized)
        decisions.append(_compile(lm, device, options, is_quantized))
        decisions.append(_cpu_graph(lm, device, decisions))
        decisions.append(_cpu_kernel(lm, device, options, decisions))
        decisions.append(_cuda_graph(lm, device, options, decisions))
    finally:
        use_threads(before)
    return decisions, threads


def _threads(counts: dict[Shape, int], options: PlanOptions) -> Decision:
    if options.threads is not None:
        return Decision("threads", "lm", True, "as configured", {"threads": options.threads})
    if not counts:
        return Decision("threads", "lm", True, "nothing to measure", {"threads": current_hardware().n_cores})
    format = "int8" if options.quantization == "int8" else "fp32"
    shape = max(counts, key=lambda s: counts[s] * s[0] * s[1])
    seconds = measure_threads(lambda: product_s(shape, format), thread_counts(current_hardware().n_cores))
    figures = {f"ms_with_{count}": _ms(time_s) for count, time_s in seconds.items()}
    chosen = choose_threads(seconds)
    return Decision("threads", "lm", True, f"fastest for a {shape[0]} x {shape[1]} product in {format}",
                    {"threads": chosen, **figures})  # fmt: skip


def _quantization(
    lm: nn.Module, counts: dict[Shape, int], device: torch.device, options: PlanOptions
) -> list[Decision]:
    found = []
    for name in ("int8", "int4"):
        optimization = OPTIMIZATIONS[name]()
        support = optimization.supported(device, lm)
        if options.quantization != name:
            found.append(Decision(name, "lm", False, f"QUANTIZATION={options.quantization}"))
        elif not support.ok or device.type != "cpu":
            found.append(Decision(name, "lm", support.ok, support.reason))
        else:
            found.append(_faster_than_fp32(name, counts))
    return found


def _faster_than_fp32(name: str, counts: dict[Shape, int]) -> Decision:
    measured = {
        f"{kind}_ms_per_frame": _ms(frame_s(counts, products_s(tuple(counts), kind))) for kind in ("fp32", name)
    }
    whole, less = measured.values()
    if less >= whole:
        return Decision(name, "lm", False, "slower than float32 here", measured)
    return Decision(name, "lm", True, f"{whole / less:.1f} times as fast as float32 in its matmuls", measured)


def _precision(
    lm: nn.Module, counts: dict[Shape, int], device: torch.device, options: PlanOptions, is_quantized: bool
) -> list[Decision]:
    if is_quantized and device.type == "cpu":
        return [Decision("precision_fp32", "lm", False, "8-bit and 4-bit matmuls already return float32")]
    requested = options.mixed_precision
    if requested != "auto":
        support = OPTIMIZATIONS[f"precision_{requested}"]().supported(device, lm)
        found = [Decision(f"precision_{requested}", "lm", support.ok, support.reason)]
        return (
            found if support.ok or requested == "fp32" else [*found, Decision("precision_fp32", "lm", True, "instead")]
        )
    candidates = {kind: OPTIMIZATIONS[f"precision_{kind}"]().supported(device, lm) for kind in ("bf16", "fp16")}
    found = [Decision(f"precision_{kind}", "lm", False, s.reason) for kind, s in candidates.items() if not s.ok]
    kinds = ["fp32", *(kind for kind, support in candidates.items() if support.ok)]
    needed = tuple(counts)
    measured = {f"{kind}_ms_per_frame": _ms(frame_s(counts, products_s(needed, kind, device))) for kind in kinds}
    times = dict(zip(kinds, measured.values(), strict=True))
    best = min(times, key=times.__getitem__)
    if best != "fp32" and times["fp32"] < times[best] * WORTHWHILE:
        return [*found, Decision("precision_fp32", "lm", True, f"{best} is not {WORTHWHILE} times as fast", measured)]
    return [*found, Decision(f"precision_{best}", "lm", True, "the fastest products", measured)]


def _compile(lm: nn.Module, device: torch.device, options: PlanOptions, is_quantized: bool) -> Decision:
    optimization = OPTIMIZATIONS["compile"]()
    if not options.compile:
        return Decision("compile", "lm", False, "ENABLE_TORCH_COMPILE is off")
    if is_quantized and device.type == "cpu":
        return Decision("compile", "lm", False, "the compiler does not support 8-bit and 4-bit matmuls")
    support = optimization.supported(device, lm)
    if not support.ok or device.type != "cpu":
        return Decision("compile", "lm", support.ok, support.reason)
    # Imported here: it takes seconds, and only this optimization needs it.
    from torch._dynamo.exc import TorchDynamoException

    layer = next(module for module in lm.modules() if isinstance(module, FeedForward))
    rows = torch.zeros(1, layer.w13.in_features)
    plain, compiled = copy.deepcopy(layer).float(), copy.deepcopy(layer).float()
    optimization.apply(compiled)
    try:
        compiled_s = median_s(lambda: compiled(rows), 0.2)
    except TorchDynamoException as error:
        return Decision("compile", "lm", False, f"PyTorch cannot compile here ({type(error).__name__})")
    measured = {"plain_ms": _ms(median_s(lambda: plain(rows), 0.2)), "compiled_ms": _ms(compiled_s)}
    is_faster = measured["compiled_ms"] < measured["plain_ms"]
    return Decision("compile", "lm", is_faster, "faster" if is_faster else "not faster for one row here", measured)


def _cpu_graph(lm: nn.Module, device: torch.device, decided: Sequence[Decision]) -> Decision:
    optimization = OPTIMIZATIONS["cpu_graph"]()
    changed = [d.name for d in decided if d.is_applied and d.name not in ("threads", "precision_fp32")]
    is_quantized = changed in (["int8"], ["int4"]) and isinstance(lm, DualAR) and device.type == "cpu"
    if changed and not is_quantized:
        return Decision("cpu_graph", "lm", False, f"supports float32 and quantized layers, not {changed[0]}")
    # A quantized model may be large, so one layer of each stack is measured.
    plain = OPTIMIZATIONS[changed[0]]().apply(first_layers(lm)) if is_quantized else lm
    support = optimization.supported(device, plain)
    if not support.ok:
        return Decision("cpu_graph", "lm", False, support.reason)
    plain = plain if is_quantized else copy.deepcopy(lm)
    whole = spoken_frame_s(plain)
    less = spoken_frame_s(optimization.apply(plain))
    measured = {"plain_ms_per_frame": _ms(whole), "taped_ms_per_frame": _ms(less)}
    if less >= whole:
        return Decision("cpu_graph", "lm", False, "not faster here", measured)
    what = "frames of two layers" if is_quantized else "whole frames"
    return Decision("cpu_graph", "lm", True, f"{what} {whole / less:.1f} times as fast", measured)


def _cpu_kernel(lm: nn.Module, device: torch.device, options: PlanOptions, decided: Sequence[Decision]) -> Decision:
    name = "cpu_kernel"
    if not options.cpu_kernel:
        return Decision(name, "lm", False, "ENABLE_CPU_KERNEL is off")
    if device.type != "cpu" or not isinstance(lm, DualAR):
        return Decision(name, "lm", False, CpuKernel().supported(device, lm).reason)
    if "int8" not in [d.name for d in decided if d.is_applied]:
        return Decision(name, "lm", False, "supports int8 layers only")
    # The model may be large, so one layer of each stack is measured.
    small = OPTIMIZATIONS["int8"]().apply(first_layers(lm))
    support = CpuKernel().supported(device, small)
    if not support.ok:
        return Decision(name, "lm", False, support.reason)
    compiled = compilation()
    if not compiled.wait_for_cache():
        return Decision(name, "lm", compiled.state == "compiling", f"{compiled.reason}; measured before it is used")
    whole, less = frame_seconds(small, compiled)
    measured = {"cpu_graph_ms_per_frame": _ms(whole), "this_ms_per_frame": _ms(less)}
    if less >= whole:
        return Decision(name, "lm", False, "not faster here", measured)
    reason = f"frames of two layers {whole / less:.1f} times as fast, {compiled.reason}"
    return Decision(name, "lm", True, reason, measured)


def _cuda_graph(lm: nn.Module, device: torch.device, options: PlanOptions, decided: Sequence[Decision]) -> Decision:
    optimization = OPTIMIZATIONS["cuda_graph"]()
    if not options.cuda_graphs:
        return Decision("cuda_graph", "lm", False, "ENABLE_CUDA_GRAPHS is off")
    support = optimization.supported(device, lm)
    if not support.ok:
        return Decision("cuda_graph", "lm", False, support.reason)
    changed = [d.name for d in decided if d.is_applied and d.name != "threads"]
    precision = [name for name in changed if name.startswith("precision_")]
    if odd := [name for name in changed if name not in precision]:
        return Decision("cuda_graph", "lm", False, f"supports plain floating-point layers, not {odd[0]}")
    # The model may be large, so one layer of each stack is measured.
    small = first_layers(lm)
    for name in precision:
        for part in small._modules.values():
            # Embedding tables are shared with the model, which must not change.
            if part is not None and not isinstance(part, nn.Embedding):
                OPTIMIZATIONS[name]().apply(part)
    whole = spoken_frame_s(small)
    graphed = CudaGraphDualAR.of(small)
    less = spoken_frame_s(graphed)
    measured = {"plain_ms_per_frame": _ms(whole), "graphed_ms_per_frame": _ms(less)}
    if graphed.disabled_reason is not None:
        return Decision("cuda_graph", "lm", False, graphed.disabled_reason, measured)
    if less >= whole:
        return Decision("cuda_graph", "lm", False, "not faster here", measured)
    return Decision("cuda_graph", "lm", True, f"frames of two layers {whole / less:.1f} times as fast", measured)


def first_layers(lm: DualAR) -> DualAR:
    """Returns a copy with the first layer of each stack; embedding tables are shared."""
    small = copy.copy(lm)
    small._modules = {
        name: part if isinstance(part, nn.Embedding) else copy.deepcopy(_first(name, part))
        for name, part in lm._modules.items()
    }
    return small


def _first(name: str, part: nn.Module | None) -> nn.Module | None:
    return part[:1] if name in ("layers", "fast_layers") else part


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)
