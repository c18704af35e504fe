"""Short-time objective intelligibility (STOI), through pystoi."""

from __future__ import annotations

import warnings

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.optional_packages import require_package
from backend.metrics.reconstruction import require_pair


def stoi(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """Returns STOI of aligned signals [N], about 0 to 1 (1 for identical signals).

    Raises `ScoreUnavailable` if less than 0.4 s of non-silent audio remain, and `NotAvailable`.
    """
    pystoi = require_package("pystoi", "pystoi")
    require_pair(reference, decoded, rate_hz // 4)
    with warnings.catch_warnings():
        # The package returns 1e-5 with a warning, which would enter a mean as a score.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference.astype(np.float64), decoded.astype(np.float64), rate_hz, extended=False))
        except RuntimeWarning as warning:
            raise ScoreUnavailable("STOI needs at least 0.4 s of non-silent audio; there is less.") from warning
