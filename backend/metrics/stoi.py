"""Short-time objective intelligibility, by pystoi."""

from __future__ import annotations

import warnings

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.optional_packages import require_package
from backend.metrics.reconstruction import require_pair


def stoi(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """STOI of aligned sounds [N], about 0 to 1 (1 for the original itself).

    Raises `ScoreUnavailable` where less than the 0.4 s of sound it looks at remain, and `NotAvailable`.
    """
    pystoi = require_package("pystoi", "pystoi")
    require_pair(reference, decoded, rate_hz // 4)
    with warnings.catch_warnings():
        # The package returns 1e-5 with a warning; that would enter a mean as if it were a score.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference.astype(np.float64), decoded.astype(np.float64), rate_hz, extended=False))
        except RuntimeWarning as warning:
            raise ScoreUnavailable("STOI needs at least 0.4 s that are not silent; there is less.") from warning
