import numpy as np
import pytest

from backend.data import f0_tracks
from backend.data.audio_cache import CachedClip
from backend.data.augment import Augmentation
from backend.data.f0_tracks import PitchedSampler, sample_track, track_f0

RATE_HZ = 8000


def test_log_f0_is_interpolated_and_voicing_is_the_nearest():
    track = np.array([0.0, 100.0, 400.0, 0.0, 0.0, 50.0])
    found = sample_track(track, np.array([-0.01, 0.0, 0.006, 0.015, 0.026, 0.05, 0.07]))
    np.testing.assert_allclose(found, [0, 0, 100, 200, 0, 50, 0], rtol=1e-6)
    assert not sample_track(np.zeros(5), np.array([0.01])).any()


@pytest.mark.parametrize("hz", [98.0, 240.0])
def test_a_pulse_train_has_its_own_pitch(hz):
    pytest.importorskip("pyworld", reason="pyworld (extra 'train') is not installed", exc_type=ImportError)
    time_s = np.arange(24_000) / 24_000
    voice = sum(np.cos(2 * np.pi * k * hz * time_s) / k for k in range(1, 20)) * 0.1
    track = track_f0(voice, 24_000)[10:-10]
    np.testing.assert_allclose(track, hz, rtol=3e-3)


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_segments_bring_the_pitch_of_their_place_and_speed(monkeypatch, speed):
    """A clip whose F0 rises by 1 Hz a frame: what comes back tells where it was cut and how fast it was played."""
    monkeypatch.setattr(f0_tracks, "track_f0", lambda samples, rate: 100.0 + np.arange(len(samples) // 80 + 1.0))
    clip = CachedClip("a", "b", np.zeros((RATE_HZ * 2, 1), np.int16))
    sampler = PitchedSampler([clip], 1600, 3, 0, Augmentation(rate_hz=RATE_HZ))
    monkeypatch.setattr(Augmentation, "sample_speed", lambda self, rng: speed)
    sampler.follow(RATE_HZ, 80, 320)
    audio, f0_hz = sampler.next_pitched_batch()
    assert audio.shape == (3, 1, 1600) and f0_hz.shape == (3, 20) and f0_hz.dtype == np.float32
    # Frame 0 is centered 80 samples before the segment, frame 1 on its first sample.
    assert not f0_hz[:, 0].any()
    np.testing.assert_allclose(np.diff(f0_hz[:, 1:], axis=1), speed**2, rtol=0.02)
