"""Plans the optimizations for models on this machine: measured once, then cached."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from backend.hardware import current_hardware
from backend.optimize.cuda_streams import CudaStreams
from backend.optimize.planner.cache import fingerprint, plan_folder, plan_key, read_plan, write_plan
from backend.optimize.planner.codec import codec_decisions
from backend.optimize.planner.cpu_load import BUSY_SHARE, CpuLoad, busy_share_now
from backend.optimize.planner.decision import Decision, Plan, PlanOptions, Target
from backend.optimize.planner.lm import lm_decisions
from backend.optimize.registry import OPTIMIZATIONS

__all__ = ["Decision", "Plan", "PlanOptions", "apply_plan", "make_plan", "prepare_process"]
log = logging.getLogger(__name__)


def make_plan(
    lm: nn.Module | None, codec: nn.Module | None, device: torch.device, options: PlanOptions,
    *, weights: str | None = None, folder: Path | None = None,
) -> Plan:  # fmt: skip
    """Returns the plan for `lm` and `codec`, which do not change.

    `weights` identifies their weights (a checkpoint hash; default: a fingerprint of the models). A plan for this
    machine, weights and options is read from `folder` (the user's cache) instead of measuring again, unless it was
    measured under load and the machine is now idle.
    """
    folder = folder or plan_folder()
    models = [model for model in (lm, codec) if model is not None]
    key = plan_key(device, options, weights or "-".join(map(fingerprint, models)))
    kept = read_plan(key, folder)
    if kept is not None and (kept.busy_share <= BUSY_SHARE or busy_share_now() > BUSY_SHARE):
        return kept
    others = CpuLoad()
    with torch.inference_mode():
        decisions, lm_threads = (
            lm_decisions(lm, device, options) if lm is not None else ([], current_hardware().n_cores)
        )
        if codec is not None:
            decisions += codec_decisions(codec, device, options)
    decisions += process_decisions(device, options, codec if lm is None else lm)
    # The codec runs concurrently with the model; half the cores keep them from blocking each other.
    plan = Plan(tuple(decisions), lm_threads, max(1, current_hardware().n_cores // 2), others.share)
    for decision in plan.decisions:
        log.info("%s %s", "applied" if decision.is_applied else "refused", decision)
    if plan.busy_share > BUSY_SHARE:
        log.info(
            "Other programs used %.0f %% of the CPU during the measurement; the next start on an idle machine measures again.",
            100 * plan.busy_share,
        )
    if plan.is_measured:
        write_plan(plan, key, folder)
    return plan


def process_decisions(device: torch.device, options: PlanOptions, model: nn.Module | None) -> list[Decision]:
    found = []
    for name, optimization in (
        ("streams", CudaStreams(options.num_streams)),
        ("backend_flags", OPTIMIZATIONS["backend_flags"]()),
    ):
        support = optimization.supported(device, model)
        # MIXED_PRECISION=fp32 excludes reduced float32.
        is_allowed = name != "backend_flags" or options.mixed_precision != "fp32"
        reason = support.reason if is_allowed else "MIXED_PRECISION=fp32 requires full float32"
        found.append(Decision(name, "process", support.ok and is_allowed, reason))
    return found


def apply_plan(plan: Plan, lm: nn.Module | None, codec: nn.Module | None) -> tuple[nn.Module | None, nn.Module | None]:
    """Applies the plan to the models in place. The workers set their threads: `plan.lm_threads`."""
    return _applied(plan, lm, "lm"), _applied(plan, codec, "codec")


def prepare_process(plan: Plan, options: PlanOptions, model: nn.Module) -> CudaStreams:
    """Applies process-wide optimizations; returns the streams for its threads, closed if they were refused."""
    streams, applied = CudaStreams(options.num_streams), plan.applied("process")
    if "backend_flags" in applied:
        OPTIMIZATIONS["backend_flags"]().apply(model)
    if "streams" in applied:
        streams.apply(model)
    return streams


def _applied(plan: Plan, model: nn.Module | None, target: Target) -> nn.Module | None:
    if model is None:
        return None
    with torch.no_grad():
        for name in plan.applied(target):
            if name != "threads":
                model = OPTIMIZATIONS[name]().apply(model)
    return model
