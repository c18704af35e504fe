"""Tables of the logistic function, correctly rounded by `decimal` so that every machine has the same integers."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

CDF_BITS = 30
CDF_LIMIT = 16  # the table covers -16..16 scales
CDF_STEPS = 64  # entries a scale
STRETCH_LIMIT = 3071  # log odds of +-12, in units of 1/256


@lru_cache(maxsize=1)
def logistic_cdf() -> np.ndarray:
    """round(2**30 / (1 + exp(-u))) for u = -16, -16 + 1/64, ... 16, and the last entry once more. int64 [2050]"""
    values = [_logistic(i, CDF_STEPS, 1 << CDF_BITS) for i in range(-CDF_LIMIT * CDF_STEPS, CDF_LIMIT * CDF_STEPS + 1)]
    return np.array([*values, values[-1]], dtype=np.int64)


@lru_cache(maxsize=1)
def squash() -> np.ndarray:
    """Probabilities in 1/65536 of the log odds i / 256 for i = -3071..3071. int32 [6143]"""
    values = [_logistic(i, 256, 1 << 16) for i in range(-STRETCH_LIMIT, STRETCH_LIMIT + 1)]
    return np.clip(np.array(values, dtype=np.int32), 1, 65535)


@lru_cache(maxsize=1)
def stretch() -> np.ndarray:
    """Log odds in 1/256 of the probabilities (i + 1/2) / 4096. int32 [4096]"""
    with localcontext() as context:
        context.prec = 30
        values = [
            int(((Decimal(2 * i + 1) / Decimal(8191 - 2 * i)).ln() * 256).to_integral_value()) for i in range(4096)
        ]
    return np.array(values, dtype=np.int32)


def _logistic(numerator: int, denominator: int, one: int) -> int:
    with localcontext() as context:
        context.prec = 30
        exponential = (Decimal(-numerator) / denominator).exp()
        return int((one / (1 + exponential)).to_integral_value())
