import numpy as np
import pytest

from backend.audio.time_stretch import StreamStretcher, stretch
from backend.audio.waveform import Waveform
from backend.errors import BadAudio

RATE_HZ = 24000
SPEEDS = (0.5, 0.8, 1.3, 2.0)


def tone(hz, duration_s=2.0, n_channels=1):
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    samples = 0.5 * np.sin(2 * np.pi * hz * time_s)
    return Waveform(np.tile(samples.astype(np.float32), (n_channels, 1)), RATE_HZ)


def pitch_hz(samples):
    n_fft = 2**18
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n_fft)).argmax() * RATE_HZ / n_fft


@pytest.mark.parametrize("speed", [0.25, *SPEEDS, 3.3, 4.0])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_streaming_stretch_is_bit_identical_to_whole_stretch(speed, n_channels):
    draw = np.random.default_rng(round(speed * 100))
    samples = draw.standard_normal((n_channels, 30_000)).astype(np.float32)
    whole = stretch(Waveform(samples, RATE_HZ), speed).samples
    assert whole.shape == (n_channels, round(30_000 / speed))
    for n_cuts in (3, 200):
        stretcher = StreamStretcher(n_channels, RATE_HZ, speed)
        cuts = np.sort(draw.integers(0, 30_001, n_cuts))
        parts = [stretcher.push(part) for part in np.split(samples, cuts, axis=1)]
        np.testing.assert_array_equal(np.concatenate([*parts, stretcher.finish()], axis=1), whole)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("hz", [90, 220, 440, 1000])
def test_stretched_tone_keeps_pitch_level_and_smoothness(speed, hz):
    sound = tone(hz)
    samples = stretch(sound, speed).samples[0]
    assert abs(len(samples) / (sound.n_samples / speed) - 1) < 0.01
    assert abs(pitch_hz(samples) / hz - 1) < 0.01
    middle = samples[2000:-2000]
    # No step exceeds the slope of the tone, so windows join without clicks...
    assert np.abs(np.diff(middle)).max() < 1.02 * np.abs(np.diff(sound.samples)).max()
    # ...and without cancellation: every interval longer than a period reaches the amplitude.
    heights = [np.abs(middle[start : start + 400]).max() for start in range(0, len(middle) - 400, 200)]
    assert min(heights) > 0.48 and max(heights) < 0.51


def test_channels_stay_aligned():
    sound = tone(200, n_channels=2)
    sound.samples[1] *= -0.5
    samples = stretch(sound, 1.4).samples
    np.testing.assert_allclose(samples[1], -0.5 * samples[0], atol=1e-6)


def test_silence_stays_silent_and_short_clips_have_their_length():
    assert not stretch(Waveform.of(np.zeros(9000, np.float32), RATE_HZ), 0.6).samples.any()
    for n_samples in (1, 10, 500, 721, 1300):
        for speed in (0.25, 0.5, 2.0, 4.0):
            sound = Waveform.of(np.ones(n_samples, np.float32), RATE_HZ)
            assert stretch(sound, speed).n_samples == round(n_samples / speed)


def test_stretching_latency_is_below_50_ms():
    stretcher = StreamStretcher(1, RATE_HZ, 2.0)
    n_out = [stretcher.push(np.zeros((1, 240), np.float32)).shape[1] for _ in range(40)]
    assert sum(n_out[:6]) and abs(sum(n_out) - 40 * 120) < 0.05 * RATE_HZ


def test_invalid_speeds_and_shapes_are_rejected():
    for speed in (0.2, 4.1, 0.0, -1.0, np.nan):
        with pytest.raises(BadAudio, match="0.25 to 4"):
            StreamStretcher(1, RATE_HZ, speed)
    with pytest.raises(BadAudio, match="expected"):
        StreamStretcher(2, RATE_HZ, 1.5).push(np.zeros((1, 10), np.float32))
    stretcher = StreamStretcher(1, RATE_HZ, 1.5)
    stretcher.finish()
    with pytest.raises(RuntimeError, match="finished"):
        stretcher.push(np.zeros((1, 10), np.float32))
