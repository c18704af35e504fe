import json
from pathlib import Path

import numpy as np
import pytest

from backend.data.audio_cache import CachedClip
from backend.data.augment import Augmentation, add_noise, add_room, limit_band, shape_tone
from backend.data.manifest import Clip
from backend.data.segments import SegmentSampler
from backend.data.splits import HeldOut
from backend.data.synthetic import speech_like
from backend.errors import BadSettings

RATE_HZ = 8000
EVERYTHING = Augmentation(
    1.0, 0.12, 1.0, 6.0, 1.0, (15.0, 45.0), 1.0, (-18.0, 6.0), 1.0, (500.0, 3000.0), 1.0, rate_hz=RATE_HZ
)


def numbered_clips(*lengths: int) -> list[CachedClip]:
    """Clip i contains only the value i + 1."""
    return [CachedClip(str(i), "", np.full((n, 1), i + 1, np.int16)) for i, n in enumerate(lengths)]


def test_restored_sampler_gives_the_same_batches():
    clips = [CachedClip("a", "", np.round(speech_like(2.0, RATE_HZ).T * 32767).astype(np.int16))]
    first = SegmentSampler(clips, 1000, 3, seed=1, augmentation=EVERYTHING)
    first.next_batch()
    state = json.loads(json.dumps(first.state()))
    second = SegmentSampler(clips, 1000, 3, seed=99, augmentation=EVERYTHING)
    second.restore(state)
    for _ in range(5):
        assert np.array_equal(first.next_batch(), second.next_batch())


def test_clips_are_sampled_in_proportion_to_length():
    sampler = SegmentSampler(numbered_clips(1000, 9000), 10, 500, seed=0)
    values = np.round(sampler.next_batch()[:, 0, 0] * 32768)
    assert 0.03 < np.mean(values == 1) < 0.2


def test_short_clip_ends_in_silence():
    batch = SegmentSampler(numbered_clips(5), 20, 1, seed=0).next_batch()
    assert batch.shape == (1, 1, 20) and batch.dtype == np.float32
    assert (batch[0, 0, :5] > 0).all() and (batch[0, 0, 5:] == 0).all()


def test_empty_clip_list_is_rejected():
    with pytest.raises(BadSettings, match="held-out"):
        SegmentSampler([], 10, 1, seed=0)


def test_reseeded_sampler_gives_other_segments():
    clips = [CachedClip("a", "", np.arange(20000, dtype=np.int16)[:, None])]
    sampler = SegmentSampler(clips, 100, 4, seed=1)
    state = sampler.state()
    first = sampler.next_batch()
    sampler.restore(state)
    sampler.reseed(2)
    assert not np.array_equal(first, sampler.next_batch())


@pytest.mark.parametrize("seed", range(20))
def test_augmented_segments_keep_length_and_bounds(seed):
    clips = [CachedClip("a", "", np.round(speech_like(1.0, RATE_HZ, peak=0.99).T * 32767).astype(np.int16))]
    batch = SegmentSampler(clips, 777, 4, seed, EVERYTHING).next_batch()
    assert batch.shape == (4, 1, 777) and batch.dtype == np.float32
    assert np.isfinite(batch).all() and np.abs(batch).max() <= 1.0


def test_noise_has_the_requested_level():
    tone = np.sin(np.arange(8000) * 0.1)[None] * 0.3
    noisy = add_noise(tone, 20.0, np.random.default_rng(0))
    snr_db = 10 * np.log10(np.mean(tone**2) / np.mean((noisy - tone) ** 2))
    assert snr_db == pytest.approx(20.0, abs=0.01)


def test_flat_tone_curve_changes_nothing():
    samples = np.random.default_rng(0).standard_normal((1, 500))
    assert np.allclose(shape_tone(samples, np.zeros(6)), samples)
    assert np.allclose(shape_tone(samples, np.full(6, 6.0)), samples * 10 ** (6 / 20))


@pytest.mark.parametrize(
    ("clip", "is_out"),
    [(Clip("1", Path("a.wav"), "ann"), True), (Clip("2", Path("b.wav"), "bob"), False),
     (Clip("3", Path("c.wav"), "bob:0.6+ann:0.4"), True), (Clip("4", Path("d.wav"), "annabel"), False),
     (Clip("5", Path("e.wav"), "xm_joe"), True), (Clip("6", Path("f.wav"), "bob+xm_joe"), True),
     (Clip("7", Path("keep/secret1.wav"), "bob"), True), (Clip("secret2", Path("g.wav"), "bob"), True)],
)  # fmt: skip
def test_held_out_speakers_and_files_match(clip, is_out):
    assert HeldOut(speakers=("ann", "xm_*"), files=("secret*",)).covers(clip) == is_out


def test_band_limit_passes_below_and_blocks_above():
    times_s = np.arange(8000) / RATE_HZ
    low, high = np.sin(2 * np.pi * 400 * times_s), np.sin(2 * np.pi * 3000 * times_s)
    limited = limit_band((low + high)[None].astype(np.float32), 1000 / RATE_HZ)[0]
    assert np.abs(limited - low)[500:-500].max() < 0.01


def test_room_echo_has_the_requested_energy_and_is_causal():
    click = np.zeros((1, 4000))
    click[0, 1000] = 1.0
    echo = add_room(click, 2000, -10.0, np.random.default_rng(0)) - click
    assert 10 * np.log10(np.sum(echo**2)) == pytest.approx(-10.0, abs=1e-6)
    assert np.abs(echo[0, :999]).max() < 1e-9 < np.abs(echo[0, 1000:1100]).max()
