"""Resampling with soxr, whole or streaming."""

from __future__ import annotations

import numpy as np
import soxr

from backend.audio.waveform import Waveform
from backend.errors import BadAudio

QUALITY = "HQ"
# Filter length grows with the ratio; beyond this, a hostile rate in a file header would cost gigabytes.
MAX_RATIO = 1024


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """Resample to `rate_hz`, with `resampled_length` samples and no delay.

    Overshoot can exceed -1...1 slightly. Raises `BadAudio` for an impossible rate.
    """
    if waveform.rate_hz == rate_hz:
        return waveform
    stream = StreamResampler(waveform.rate_hz, rate_hz, waveform.n_channels)
    pieces = [stream.push(waveform.samples), stream.finish()]
    return Waveform(np.concatenate(pieces, axis=1), rate_hz)


def resampled_length(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Return the number of output samples: n * to / from, halves rounded up."""
    return (2 * n_samples * to_hz + from_hz) // (2 * from_hz)


class StreamResampler:
    """Resamples a stream; the joined chunks equal `resample` of the whole within 1e-5.

    All pushes and `finish` together return exactly `resampled_length(total pushed)` samples. A push may return fewer
    samples than its share, or none, because of the filter's look-ahead.
    """

    def __init__(self, from_hz: int, to_hz: int, n_channels: int):
        if from_hz <= 0 or to_hz <= 0 or max(from_hz, to_hz) > MAX_RATIO * min(from_hz, to_hz):
            raise BadAudio(
                f"Cannot resample from {from_hz} Hz to {to_hz} Hz; both must be positive and at most "
                f"{MAX_RATIO} times apart. Check the rates."
            )
        self.from_hz, self.to_hz, self.n_channels = from_hz, to_hz, n_channels
        self._stream = soxr.ResampleStream(from_hz, to_hz, n_channels, dtype="float32", quality=QUALITY)
        self._n_in = 0
        self._n_out = 0
        self._is_finished = False

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Add samples, float32 [C, N], at the old rate; returns samples at the new rate, [C, M]."""
        return self._advance(samples, is_last=False)

    def finish(self) -> np.ndarray:
        """End the stream; returns the samples left in the filter, [C, M]."""
        return self._advance(np.zeros((self.n_channels, 0), np.float32), is_last=True)

    def _advance(self, samples: np.ndarray, is_last: bool) -> np.ndarray:
        if self._is_finished:
            raise RuntimeError("This resampler is finished; make a new one for the next stream.")
        if samples.ndim != 2 or samples.shape[0] != self.n_channels:
            raise BadAudio(f"Samples have shape {samples.shape}; this resampler takes [{self.n_channels}, N].")
        self._is_finished = is_last
        self._n_in += samples.shape[1]
        if self.from_hz == self.to_hz:
            return samples.astype(np.float32)
        frames = np.ascontiguousarray(samples.T, dtype=np.float32)
        if self.n_channels == 1:
            frames = frames[:, 0]
        out = self._stream.resample_chunk(frames, last=is_last).reshape(-1, self.n_channels)
        self._n_out += len(out)
        if is_last:
            out = self._settle(out)
        return np.ascontiguousarray(out.T)

    def _settle(self, out: np.ndarray) -> np.ndarray:
        """Make the total exact: soxr may be off by one sample."""
        off = resampled_length(self._n_in, self.from_hz, self.to_hz) - self._n_out
        if off >= 0:
            return np.pad(out, ((0, off), (0, 0)))
        if -off > len(out):
            raise AssertionError(f"resampler gave {self._n_out} samples for {self._n_in} pushed")
        return out[:off]
