"""`Waveform`: samples with their sample rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.errors import BadAudio


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """Audio as float32 samples [C, N], nominally in -1...1, at `rate_hz` samples per second.

    Raises `BadAudio` for another shape, dtype or rate. Finite samples are not checked here because of the cost;
    sources that can contain NaN call `require_finite`.
    """

    samples: np.ndarray
    rate_hz: int

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype != np.float32:
            got = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
            raise BadAudio(
                f"Samples are {got}; a waveform holds a float32 array. Convert with Waveform.of(samples, rate)."
            )
        if samples.ndim != 2 or samples.shape[0] < 1:
            raise BadAudio(f"Samples have shape {samples.shape}; a waveform is [channels, samples]. Use Waveform.of.")
        if isinstance(self.rate_hz, bool) or not isinstance(self.rate_hz, int | np.integer) or self.rate_hz <= 0:
            raise BadAudio(f"The sample rate is {self.rate_hz!r}; expected a positive whole number of hertz.")
        object.__setattr__(self, "rate_hz", int(self.rate_hz))

    @classmethod
    def of(cls, samples: np.ndarray, rate_hz: int) -> Waveform:
        """Create a waveform from [N] or [C, N] floats, or int16 samples (scaled by 1 / 32768)."""
        samples = np.asarray(samples)
        if samples.ndim == 1:
            samples = samples[None]
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768.0
        elif not np.issubdtype(samples.dtype, np.floating):
            raise BadAudio(f"Samples are {samples.dtype}; expected floats in -1...1 or int16. Scale them first.")
        return cls(np.ascontiguousarray(samples, dtype=np.float32), rate_hz)

    @property
    def n_channels(self) -> int:
        return self.samples.shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.samples.shape[1]

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.rate_hz

    def require_finite(self) -> Waveform:
        """Return this waveform, or raise `BadAudio` if any sample is NaN or infinite."""
        if not np.isfinite(self.samples).all():
            n_bad = int(np.count_nonzero(~np.isfinite(self.samples)))
            raise BadAudio(
                f"{n_bad} of {self.samples.size} samples are NaN or infinite. Repair or export the audio again."
            )
        return self

    def mono(self) -> Waveform:
        """Mix down to one channel, the mean of all."""
        if self.n_channels == 1:
            return self
        return Waveform(self.samples.mean(axis=0, keepdims=True, dtype=np.float32), self.rate_hz)

    def slice_s(self, start_s: float, end_s: float) -> Waveform:
        """Return the part between two times, rounded to samples and clipped to the waveform.

        The result shares memory. Raises `BadAudio` if `end_s` is before `start_s` or either is not finite.
        """
        if not (np.isfinite(start_s) and np.isfinite(end_s)) or end_s < start_s:
            raise BadAudio(f"The slice runs from {start_s} s to {end_s} s; expected finite times in order.")
        first, last = (min(max(round(t * self.rate_hz), 0), self.n_samples) for t in (start_s, end_s))
        return Waveform(self.samples[:, first:last], self.rate_hz)
