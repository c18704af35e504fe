"""`phonogram doctor`: reports the machine, the checkpoint and the optimization plan with its reasons."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from backend.device import Device
    from backend.optimize.planner.decision import Plan, PlanOptions
    from backend.settings import Settings

# Optional modules and their use.
OPTIONAL = {
    "bitsandbytes": "int8 and int4 weights on CUDA GPUs",
    "pynvml": "GPU monitoring",
    "triton": "torch.compile on CUDA GPUs",
    "gradio": "the Gradio page",
    "streamlit": "the Streamlit page",
    "lightning": "training",
    "ray": "serving with several replicas",
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Report the machine, the checkpoint and the optimization plan. Runs missing measurements."""
    from backend.device import find_device
    from backend.errors import PhonogramError
    from backend.evaluation.provenance import machine
    from backend.settings import load_settings

    settings = load_settings()
    device = find_device(settings.device)
    report: dict[str, object] = {"machine": machine(), "device": f"{device.label}: {device.name} ({device.reason})"}
    try:
        name, plan = _plan(settings, device)
        report |= {"checkpoint": name, "plan": _plan_lines(plan)}
    except PhonogramError as error:
        report |= {"checkpoint": str(error)}
    report["missing packages"] = [f"{name}: {use}" for name, use in OPTIONAL.items() if find_spec(name) is None]
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(_lines(report)))


def _plan(settings: Settings, device: Device) -> tuple[str, Plan]:
    from backend.optimize.planner.plan import make_plan
    from backend.pipeline.model_loading import find_model
    from backend.weights.checkpoint import checkpoint_hash, load_checkpoint

    folder = find_model(settings.model_dir)
    torch_device = device.torch_device()
    checkpoint = load_checkpoint(folder, torch_device)
    key = checkpoint_hash(folder)
    return checkpoint.name, make_plan(
        checkpoint.lm, checkpoint.codec, torch_device, plan_options_of(settings), weights=key
    )


def plan_options_of(settings: Settings) -> PlanOptions:
    from backend.optimize.planner.decision import PlanOptions

    return PlanOptions(
        mixed_precision=settings.mixed_precision, quantization=settings.quantization,
        compile=settings.enable_torch_compile, cuda_graphs=settings.enable_cuda_graphs,
        cpu_kernel=settings.enable_cpu_kernel, num_streams=settings.num_streams,
    )  # fmt: skip


def _plan_lines(plan: Plan) -> list[str]:
    source = "cached from an earlier start" if plan.is_cached else "measured now"
    lines = [f"{source}; threads: {plan.lm_threads} for the language model, {plan.codec_threads} for the codec"]
    return [*lines, *(f"{'applied' if d.is_applied else 'refused'}: {d}" for d in plan.decisions)]


def _lines(report: dict[str, object]) -> list[str]:
    lines = []
    for title, content in report.items():
        if isinstance(content, dict):
            lines += [title, *(f"  {name}: {value}" for name, value in content.items())]
        elif isinstance(content, list):
            lines += [title, *(f"  {line}" for line in content or ["none"])]
        else:
            lines.append(f"{title}: {content}")
    return lines
