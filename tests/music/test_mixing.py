"""Mixes of synthetic stems: sums, loudness, peaks, levels."""

from random import Random

import numpy as np
import pytest

from backend.audio.loudness import loudness_lufs
from backend.audio.waveform import Waveform
from backend.errors import BadAudio
from backend.music.mixing import MixOptions, active_rms, fast_length, mix_stems

RATE_HZ = 32_000
ROLES = ["melody", "bass", "drums"]


def stems(seconds=4.0):
    n = round(seconds * RATE_HZ)
    time = np.arange(n) / RATE_HZ
    clicks = np.zeros(n, np.float32)
    clicks[:: RATE_HZ // 2] = 0.9
    waves = (0.2 * np.sin(2 * np.pi * 440 * time), 0.01 * np.sin(2 * np.pi * 82 * time), clicks)
    return [Waveform.of(wave.astype(np.float32), RATE_HZ) for wave in waves]


@pytest.mark.parametrize("options", [MixOptions(), MixOptions(loudness_lufs=-9), MixOptions.random(Random(3))], ids=str)
def test_stems_sum_to_the_mix(options):
    mixed = mix_stems(stems(), ROLES, options, has_stems=True)
    total = sum(stem.samples for stem in mixed.stems)
    assert np.abs(total - mixed.mix.samples).max() < 1e-5
    assert np.array_equal(mix_stems(stems(), ROLES, options).mix.samples, mixed.mix.samples)


def test_loudness_meets_its_target_and_peaks_their_limit():
    smooth = mix_stems(stems()[:2], ROLES[:2], MixOptions()).mix
    assert loudness_lufs(smooth) == pytest.approx(-16, abs=0.3)
    for lufs in (-16, -8):
        mixed = mix_stems(stems(), ROLES, MixOptions(loudness_lufs=lufs)).mix
        assert np.abs(mixed.samples).max() <= 10 ** (-1 / 20) + 1e-4


def test_quiet_stems_are_brought_to_the_level_of_their_role():
    quiet, loud = stems()[:2], [Waveform(s.samples * 4, RATE_HZ) for s in stems()[:2]]
    a, b = (mix_stems(x, ROLES[:2], MixOptions(), has_stems=True).stems for x in (quiet, loud))
    assert np.abs(a[1].samples - b[1].samples).max() < 1e-4
    ratio_db = 20 * np.log10(active_rms(a[0].mono()) / active_rms(a[1].mono()))
    assert 1 < ratio_db < 4


def test_the_room_rings_on_and_a_narrow_mix_is_mono():
    burst = np.zeros(2 * RATE_HZ, np.float32)
    burst[1000:1400] = np.sin(np.arange(400) * 0.3)
    wet = mix_stems([Waveform.of(burst, RATE_HZ)], ["melody"], MixOptions(room_s=2.0, room_db=-6)).mix
    dry = mix_stems([Waveform.of(burst, RATE_HZ)], ["melody"], MixOptions(room_s=0.2, room_db=-60, width=0)).mix
    late = slice(RATE_HZ // 2, RATE_HZ)
    assert np.abs(wet.samples[:, late]).max() > 20 * np.abs(dry.samples[:, late]).max()
    sides = [np.abs(one.samples[0] - one.samples[1]).max() for one in (dry, wet)]
    assert sides[0] < 3e-3 and sides[1] > 20 * sides[0]


def test_silence_stays_silence_and_misfits_are_rejected():
    silent = Waveform.of(np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert not mix_stems([silent], ["melody"], MixOptions()).mix.samples.any()
    with pytest.raises(BadAudio, match="differ"):
        mix_stems([silent, stems()[0]], ["melody", "bass"], MixOptions())
    with pytest.raises(BadAudio):
        mix_stems([], [], MixOptions())


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 1025, 99_991, 1_323_000])
def test_fast_lengths_hold_and_have_small_factors(n):
    length = fast_length(n)
    assert n <= length < max(2.1 * n, 3)
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    assert length == 1
