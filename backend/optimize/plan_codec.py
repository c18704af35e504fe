"""What helps a codec on this device: each candidate is tried on a copy, decoding a few frames."""

from __future__ import annotations

import copy

import torch
from torch import nn

from backend.codes import Codes
from backend.optimize.decision import Decision, PlanWishes
from backend.optimize.measure import median_s
from backend.optimize.registry import OPTIMIZATIONS

N_FRAMES = 4
# Exact ones first; the fastest of them all is taken.
CANDIDATES = ("packed_dac_fp32", "packed_dac_bf16", "half_decoder")


def codec_decisions(codec: nn.Module, device: torch.device, wishes: PlanWishes) -> list[Decision]:
    fold = OPTIMIZATIONS["fold_weight_norm"]()
    support = fold.supported(device, codec)
    found = [Decision(fold.name, "codec", support.ok, support.reason)]
    tried: dict[str, float] = {}
    for name in CANDIDATES:
        optimization = OPTIMIZATIONS[name]()
        support = optimization.supported(device, codec)
        if not support.ok:
            found.append(Decision(name, "codec", False, support.reason))
        elif not optimization.is_exact and wishes.mixed_precision not in ("auto", "bf16"):
            found.append(Decision(name, "codec", False, f"MIXED_PRECISION={wishes.mixed_precision}"))
        else:
            tried[name] = decode_s(optimization.apply(copy.deepcopy(codec)))
    if not tried:
        return found
    plain_s = decode_s(codec)
    best = min(tried, key=tried.__getitem__)
    for name, time_s in tried.items():
        measured = {"plain_ms": round(plain_s * 1e3, 3), "this_ms": round(time_s * 1e3, 3)}
        is_taken = name == best and time_s < plain_s
        reason = f"{plain_s / time_s:.2f} times as fast at {N_FRAMES} frames"
        found.append(
            Decision(name, "codec", is_taken, reason if is_taken or name == best else f"{best} is faster", measured)
        )
    return found


def decode_s(codec: nn.Module) -> float:
    """Seconds to decode a few frames."""
    spec = codec.spec
    codes = Codes(torch.zeros(1, spec.n_codebooks, N_FRAMES, dtype=torch.long), spec.name)
    return median_s(lambda: codec.decode(codes), budget_s=0.3, min_calls=3)
