"""Fundamental frequency of recordings by WORLD's DIO and StoneMask (package pyworld)."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np

from backend.data.audio_cache import CachedClip
from backend.data.segments import SegmentSampler
from backend.errors import NotAvailable

LOWEST_HZ, HIGHEST_HZ = 55.0, 520.0
PERIOD_S = 0.01


def track_f0(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """F0 in Hz every 10 ms of samples [N], 0 where unvoiced. Raises `NotAvailable` without pyworld."""
    world = _world()
    sound = samples.astype(np.float64)
    # At half the rate (speed 2) candidates cost half as much, and StoneMask refines them at the full one.
    coarse, times = world.dio(
        sound, rate_hz, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * PERIOD_S, speed=2
    )
    return world.stonemask(sound, coarse, times, rate_hz)


def sample_track(track: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """A track at other times, even between frames: log F0 is interpolated, voicing is that of the nearest frame."""
    place = np.clip(times_s / PERIOD_S, 0, len(track) - 1)
    is_voiced = (track[np.round(place).astype(int)] > 0) & (times_s >= 0) & (times_s <= (len(track) - 1) * PERIOD_S)
    voiced = np.flatnonzero(track > 0)
    if not len(voiced):
        return np.zeros(len(times_s))
    return np.where(is_voiced, np.exp(np.interp(place, voiced, np.log(track[voiced]))), 0.0)


class PitchedSampler(SegmentSampler):
    """Segments with the F0 of their clean recordings, each of which is analyzed when first met."""

    def follow(self, rate_hz: int, hop_samples: int, n_fft: int) -> None:
        """Say how the frames lie that F0 is wanted for: frame t is centered on sample (t + 1) * hop - n_fft / 2."""
        self.rate_hz = rate_hz
        centers = (np.arange(self.n_samples // hop_samples) + 1) * hop_samples - n_fft // 2
        self._centers_s = centers / rate_hz
        self._tracks: dict[int, np.ndarray] = {}

    def next_pitched_batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Segments [B, C, N] and F0 in Hz [B, T], 0 where unvoiced."""
        cuts = [self._cut() for _ in range(self.batch)]
        f0 = [self._f0(index, first, speed) for _, index, first, speed in cuts]
        return np.stack([piece for piece, *_ in cuts]), np.stack(f0).astype(np.float32)

    def _f0(self, index: int, first: int, speed: float) -> np.ndarray:
        if index not in self._tracks:
            self._tracks[index] = _clip_track(self.clips[index], self.rate_hz)
        times_s = first / self.rate_hz + self._centers_s * speed
        # What lies before a segment is cut off, whatever the clip has there.
        return np.where(self._centers_s >= 0, sample_track(self._tracks[index], times_s) * speed, 0.0)


def _clip_track(clip: CachedClip, rate_hz: int) -> np.ndarray:
    return track_f0(clip.samples.mean(axis=1) / 32768.0, rate_hz).astype(np.float32)


def _world() -> ModuleType:
    # pyworld asks pkg_resources for its own version, which setuptools no longer brings.
    missing = "pkg_resources" not in sys.modules
    if missing:
        stand_in = ModuleType("pkg_resources")
        stand_in.get_distribution = lambda name: SimpleNamespace(version="")  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
    try:
        import pyworld

        return pyworld
    except ImportError as error:
        raise NotAvailable(
            f"F0 targets need the package pyworld, and '{error.name}' cannot be imported. Install the extra 'train'."
        ) from error
    finally:
        if missing:
            sys.modules.pop("pkg_resources", None)
