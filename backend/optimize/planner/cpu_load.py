"""CPU load by other programs during measurements."""

from __future__ import annotations

import time

import psutil

# The first start often follows an installation. Above this share of all cores, measurements reflect other programs as
# much as ours.
BUSY_SHARE = 0.25
WATCHED_S = 0.3


def busy_share_now() -> float:
    """Returns the share of all cores, 0...1, that other programs use during a short wait."""
    others = CpuLoad()
    time.sleep(WATCHED_S)
    return others.share


class CpuLoad:
    """Measures the load from its creation on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start_s, self._start_busy_s = time.monotonic(), self._busy_s()

    @property
    def share(self) -> float:
        """Share of all cores, 0...1, that other programs have used since creation."""
        elapsed_s = time.monotonic() - self._start_s
        of_cores = (self._busy_s() - self._start_busy_s) / (elapsed_s * (psutil.cpu_count() or 1)) if elapsed_s else 0.0
        return min(max(of_cores, 0.0), 1.0)

    def _busy_s(self) -> float:
        """Returns the total CPU seconds of all other programs."""
        all_programs, own = psutil.cpu_times(), self._process.cpu_times()
        resting_s = all_programs.idle + getattr(all_programs, "iowait", 0.0)
        # User time includes guest time.
        guests_s = getattr(all_programs, "guest", 0.0) + getattr(all_programs, "guest_nice", 0.0)
        return sum(all_programs) - resting_s - guests_s - own.user - own.system
