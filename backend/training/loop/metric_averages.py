"""Averages over a log interval, summed on the device so that no step synchronizes."""

from __future__ import annotations

import torch
from torch import Tensor


class MetricAverages:
    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Adds one step's scalars. Values that are not finite are left out of the mean."""
        for name, value in values.items():
            value = value.detach().float()
            is_finite = value.isfinite()
            value = torch.where(is_finite, value, 0.0)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts[name] + is_finite if name in self._counts else is_finite.float()

    def flush(self) -> dict[str, float]:
        """Returns the means since the last flush, NaN without finite values; synchronizes once."""
        if not self._sums:
            return {}
        sums = torch.stack([*self._sums.values(), *self._counts.values()]).tolist()
        names = list(self._sums)
        self._sums, self._counts = {}, {}
        totals, counts = sums[: len(names)], sums[len(names) :]
        return {
            name: total / count if count else float("nan")
            for name, total, count in zip(names, totals, counts, strict=True)
        }
