"""Random segments of cached clips, with a random state that can be saved and restored."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.data.audio_cache import CachedClip
from backend.data.augment import Augmentation
from backend.errors import BadSettings


class SegmentSampler:
    """Batches of random segments [B, C, N] float32 in -1...1.

    Each moment of sound is equally likely, so long clips are drawn more often. Clips shorter than a
    segment start at its beginning and end in silence.
    """

    def __init__(
        self, clips: list[CachedClip], n_samples: int, batch: int, seed: int, augmentation: Augmentation | None = None
    ):
        clips = [clip for clip in clips if len(clip.samples)]
        if not clips:
            raise BadSettings("No clip is left to learn from; check data.dir and the held-out patterns.")
        self.clips, self.n_samples, self.batch, self.augmentation = clips, n_samples, batch, augmentation
        lengths = np.array([len(clip.samples) for clip in clips], dtype=np.float64)
        self._cumulative = np.cumsum(lengths) / lengths.sum()
        self._rng = np.random.default_rng(seed)

    def next_batch(self) -> np.ndarray:
        return np.stack([self._segment() for _ in range(self.batch)])

    def state(self) -> dict[str, Any]:
        """The position in the random stream, as plain JSON values."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def reseed(self, seed: int) -> None:
        """Continue with other segments: after a rollback the same batches must not come again."""
        self._rng = np.random.default_rng(seed)

    def _segment(self) -> np.ndarray:
        return self._cut()[0]

    def _cut(self) -> tuple[np.ndarray, int, int, float]:
        """The next segment [C, N] with the number of its clip, its first sample there and its speed."""
        rng, speed = self._rng, 1.0
        index = min(int(np.searchsorted(self._cumulative, rng.random(), side="right")), len(self.clips) - 1)
        samples = self.clips[index].samples
        n_taken = self.n_samples
        if self.augmentation is not None:
            speed = self.augmentation.draw_speed(rng)
            n_taken = round(self.n_samples * speed)
        first = int(rng.integers(0, max(len(samples) - n_taken, 0) + 1))
        piece = samples[first : first + n_taken].T.astype(np.float32) / 32768.0
        piece = np.pad(piece, ((0, 0), (0, n_taken - piece.shape[1])))
        if self.augmentation is None:
            return piece, index, first, speed
        return self.augmentation.apply(piece, self.n_samples, rng), index, first, speed
