"""Random segments of cached clips, with a random state that can be saved and restored."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.data.audio_cache import CachedClip
from backend.data.augment import Augmentation
from backend.errors import BadSettings


class SegmentSampler:
    """Batches of random segments [B, C, N] float32 in -1...1.

    Every sample is equally likely, so long clips are used more often. Clips shorter than a segment are padded with
    silence.
    """

    def __init__(
        self, clips: list[CachedClip], n_samples: int, batch: int, seed: int, augmentation: Augmentation | None = None
    ):
        clips = [clip for clip in clips if len(clip.samples)]
        if not clips:
            raise BadSettings("There are no training clips. Check data.dir and the held-out patterns.")
        self.clips, self.n_samples, self.batch, self.augmentation = clips, n_samples, batch, augmentation
        lengths = np.array([len(clip.samples) for clip in clips], dtype=np.float64)
        self._cumulative = np.cumsum(lengths) / lengths.sum()
        self._rng = np.random.default_rng(seed)

    def next_batch(self) -> np.ndarray:
        return np.stack([self._segment() for _ in range(self.batch)])

    def state(self) -> dict[str, Any]:
        """Returns the random state as plain JSON values."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def reseed(self, seed: int) -> None:
        """Continues with other segments, so that a rollback does not repeat the same batches."""
        self._rng = np.random.default_rng(seed)

    def _segment(self) -> np.ndarray:
        return self._cut()[0]

    def _cut(self) -> tuple[np.ndarray, int, int, float]:
        """Returns the next segment [C, N] with the index of its clip, its first sample there and its speed."""
        rng, speed = self._rng, 1.0
        index = min(int(np.searchsorted(self._cumulative, rng.random(), side="right")), len(self.clips) - 1)
        samples = self.clips[index].samples
        n_taken = self.n_samples
        if self.augmentation is not None:
            speed = self.augmentation.sample_speed(rng)
            n_taken = round(self.n_samples * speed)
        first = int(rng.integers(0, max(len(samples) - n_taken, 0) + 1))
        segment = samples[first : first + n_taken].T.astype(np.float32) / 32768.0
        segment = np.pad(segment, ((0, 0), (0, n_taken - segment.shape[1])))
        if self.augmentation is None:
            return segment, index, first, speed
        return self.augmentation.apply(segment, self.n_samples, rng), index, first, speed
