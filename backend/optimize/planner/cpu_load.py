"""How busy other programs keep the processor while something is measured here."""

from __future__ import annotations

import time

import psutil

# The first start often comes right behind an installation. Above this share of all cores, what is measured says as much
# about the others as about us.
BUSY_SHARE = 0.25
WATCHED_S = 0.3


def busy_share_now() -> float:
    """Of all cores, 0...1, what others keep busy for the next moment, in which this thread waits."""
    others = CpuLoad()
    time.sleep(WATCHED_S)
    return others.share


class CpuLoad:
    """Watches from the moment it is made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start_s, self._start_busy_s = time.monotonic(), self._busy_s()

    @property
    def share(self) -> float:
        """Of all cores, 0...1, what others kept busy since then."""
        elapsed_s = time.monotonic() - self._start_s
        of_cores = (self._busy_s() - self._start_busy_s) / (elapsed_s * (psutil.cpu_count() or 1)) if elapsed_s else 0.0
        return min(max(of_cores, 0.0), 1.0)

    def _busy_s(self) -> float:
        """Seconds of processor time that all programs but this one have taken, ever."""
        all_programs, own = psutil.cpu_times(), self._process.cpu_times()
        resting_s = all_programs.idle + getattr(all_programs, "iowait", 0.0)
        # Guests are counted among the users already.
        guests_s = getattr(all_programs, "guest", 0.0) + getattr(all_programs, "guest_nice", 0.0)
        return sum(all_programs) - resting_s - guests_s - own.user - own.system
