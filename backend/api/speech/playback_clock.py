"""What a listener hears who plays each piece as soon as it comes: when it begins, and where it runs out."""

from __future__ import annotations

from dataclasses import dataclass

# Shorter ones are not heard, and every network has them.
LEAST_GAP_S = 0.02


@dataclass(slots=True)
class PlaybackClock:
    """Times are those of one clock, `arrived_s` when the request came in. All zero until something was sent."""

    arrived_s: float
    first_audio_s: float = 0.0  # after the request
    total_s: float = 0.0  # until the last piece
    n_underruns: int = 0
    underrun_s: float = 0.0  # all silence that was not meant, together
    longest_underrun_s: float = 0.0
    _runs_out_s: float | None = None

    def sent(self, duration_s: float, at_s: float) -> None:
        """A piece of sound left at `at_s`."""
        if self._runs_out_s is None:
            self.first_audio_s = at_s - self.arrived_s
            self._runs_out_s = at_s
        self.total_s = at_s - self.arrived_s
        gap_s = at_s - self._runs_out_s
        if gap_s > LEAST_GAP_S:
            self.n_underruns += 1
            self.underrun_s += gap_s
            self.longest_underrun_s = max(self.longest_underrun_s, gap_s)
        self._runs_out_s = max(self._runs_out_s, at_s) + duration_s

    def ahead_s(self, now_s: float) -> float:
        """How much sound the listener has that was not played yet."""
        return 0.0 if self._runs_out_s is None else max(0.0, self._runs_out_s - now_s)
