"""Selects optimizations of a codec for this device, by decoding a few frames with each on a copy."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import nn

from backend.codes import Codes
from backend.optimize.planner.benchmark import medians_in_turn_s
from backend.optimize.planner.decision import Decision, PlanOptions
from backend.optimize.registry import OPTIMIZATIONS

N_FRAMES = 4
# Exact ones first; the fastest is selected.
CANDIDATES = ("packed_dac_fp32", "packed_dac_bf16", "bf16_decoder")


def codec_decisions(codec: nn.Module, device: torch.device, options: PlanOptions) -> list[Decision]:
    fold = OPTIMIZATIONS["fold_weight_norm"]()
    support = fold.supported(device, codec)
    found = [Decision(fold.name, "codec", support.ok, support.reason)]
    tried: dict[str, tuple[float, float]] = {}
    for name in CANDIDATES:
        optimization = OPTIMIZATIONS[name]()
        support = optimization.supported(device, codec)
        if not support.ok:
            found.append(Decision(name, "codec", False, support.reason))
        elif not optimization.is_exact and options.mixed_precision not in ("auto", "bf16"):
            found.append(Decision(name, "codec", False, f"MIXED_PRECISION={options.mixed_precision}"))
        else:
            # One copy at a time, since they may be large.
            tried[name] = decode_s(codec, optimization.apply(copy.deepcopy(codec)))
    times_as_fast = {name: plain_s / this_s for name, (plain_s, this_s) in tried.items()}
    best = max(times_as_fast, key=times_as_fast.__getitem__, default=None)
    for name, (plain_s, this_s) in tried.items():
        measured = {"plain_ms": round(plain_s * 1e3, 3), "this_ms": round(this_s * 1e3, 3)}
        is_taken = name == best and this_s < plain_s
        reason = f"{times_as_fast[name]:.2f} times as fast at {N_FRAMES} frames"
        found.append(
            Decision(name, "codec", is_taken, reason if is_taken or name == best else f"{best} is faster", measured)
        )
    return found


def decode_s(*codecs: nn.Module) -> tuple[float, ...]:
    """Returns the seconds each codec takes to decode a few frames."""
    spec = codecs[0].spec
    codes = Codes(torch.zeros(1, spec.n_codebooks, N_FRAMES, dtype=torch.long), spec.name)
    return medians_in_turn_s([partial(codec.decode, codes) for codec in codecs])
