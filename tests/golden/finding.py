"""Comparison of one array with its reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Finding:
    """The largest error of an array and its tolerance. `is_ok` is the result."""

    name: str
    error: float
    limit: str
    is_ok: bool
    note: str = ""

    def __str__(self) -> str:
        verdict = "ok  " if self.is_ok else "FAIL"
        return f"{verdict} {self.name:24} error {self.error:9.3g}  allowed {self.limit}{self.note and '  ' + self.note}"


def compare(name: str, found: Tensor, expected: Tensor, atol: float, rtol: float = 0.0) -> Finding:
    """Returns the largest absolute difference; each element may differ by atol + rtol * |expected|."""
    limit = f"{atol:g}" + (f" + {rtol:g} of the value" if rtol else "")
    if found.shape != expected.shape:
        note = f"shape {list(found.shape)} instead of {list(expected.shape)}"
        return Finding(name, float("inf"), limit, is_ok=False, note=note)
    found, expected = found.double(), expected.double()
    difference = (found - expected).abs()
    # Written so that NaN fails.
    is_ok = bool((difference <= atol + rtol * expected.abs()).all())
    return Finding(name, float(difference.max()) if difference.numel() else 0.0, limit, is_ok)


def compare_codes(
    name: str, found: Tensor, expected: Tensor, margins: Tensor | None = None, tie: float = 1e-5
) -> Finding:
    """Counts frames [.., T] with other codes, except those whose two best entries are within `tie`."""
    limit = "0 frames"
    if found.shape != expected.shape:
        note = f"shape {list(found.shape)} instead of {list(expected.shape)}"
        return Finding(name, float("inf"), limit, is_ok=False, note=note)
    wrong = (found.long() != expected.long()).flatten(0, -2).any(0)
    is_tie = torch.zeros_like(wrong) if margins is None else margins.flatten() < tie
    n_wrong, n_ties = int((wrong & ~is_tie).sum()), int((wrong & is_tie).sum())
    return Finding(name, n_wrong, limit, n_wrong == 0, f"{n_ties} ties" if n_ties else "")
