"""Base class of streaming writers, with checks of shape, length and finish."""

from __future__ import annotations

import numpy as np

from backend.errors import BadAudio, OutputError


class SampleWriter:
    """Checks and counts samples [C, N]; a subclass encodes them."""

    def __init__(self, rate_hz: int, n_channels: int, n_samples: int | None = None):
        self.rate_hz, self.n_channels, self.n_samples = rate_hz, n_channels, n_samples
        self._n_pushed = 0
        self._is_finished = False

    def push(self, samples: np.ndarray) -> bytes:
        """Add samples, float32 [C, N]; returns the bytes that are ready. Raises `BadAudio` for a wrong shape or NaN."""
        self._require_open()
        if samples.ndim != 2 or samples.shape[0] != self.n_channels:
            raise BadAudio(f"Samples have shape {samples.shape}; this writer takes [{self.n_channels}, N].")
        self._n_pushed += samples.shape[1]
        return self._write(samples)

    def finish(self) -> bytes:
        """Return the rest of the file. Raises `OutputError` if the length differs from `n_samples`."""
        self._require_open()
        self._is_finished = True
        tail = self._close()
        if self.n_samples is not None and self._n_pushed != self.n_samples:
            raise OutputError(
                f"{self._n_pushed} samples were written; the header gives {self.n_samples}. Open the writer with the "
                "right length."
            )
        return tail

    def _write(self, samples: np.ndarray) -> bytes:
        raise NotImplementedError

    def _close(self) -> bytes:
        return b""

    def _require_open(self) -> None:
        if self._is_finished:
            raise RuntimeError("This writer is finished; open a new one for the next file.")
