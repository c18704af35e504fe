import numpy as np
import pytest

from backend.audio.resample import StreamResampler, resample, resampled_length
from backend.audio.waveform import Waveform
from backend.data import synthetic
from backend.errors import BadAudio

PAIRS_HZ = [
    (48000, 24000),
    (44100, 24000),
    (24000, 44100),
    (16000, 24000),
    (22050, 48000),
    (8000, 8000),
    (11025, 16000),
]


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS_HZ)
@pytest.mark.parametrize("n_samples", [0, 1, 7, 333, 10007])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_streaming_resampling_equals_whole_resampling(from_hz, to_hz, n_samples, n_channels):
    draw = np.random.default_rng(n_samples)
    samples = draw.uniform(-0.5, 0.5, (n_channels, n_samples)).astype(np.float32)
    whole = resample(Waveform(samples, from_hz), to_hz)
    assert whole.n_samples == resampled_length(n_samples, from_hz, to_hz)
    stream = StreamResampler(from_hz, to_hz, n_channels)
    cuts = np.sort(draw.integers(0, n_samples + 1, 9))
    pieces = [stream.push(piece) for piece in np.split(samples, cuts, axis=1)] + [stream.finish()]
    pushed = np.concatenate(pieces, axis=1)
    assert pushed.shape == whole.samples.shape and pushed.dtype == np.float32
    assert np.abs(pushed - whole.samples).max(initial=0.0) <= 1e-5


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS_HZ)
def test_resampled_tone_keeps_pitch_level_and_phase(from_hz, to_hz):
    moved = resample(Waveform(synthetic.tone(0.5, from_hz, 1000.0), from_hz), to_hz).samples[0]
    wanted = synthetic.tone(0.5, to_hz, 1000.0)[0]
    n = min(len(moved), len(wanted))
    middle = slice(n // 10, n - n // 10)
    # Ignore the edges, where the filter rings.
    assert np.abs(moved[:n] - wanted[:n])[middle].max() < 1e-3


def test_tones_above_nyquist_are_removed():
    moved = resample(Waveform(synthetic.tone(0.5, 48000, 15000.0), 48000), 16000).samples
    assert np.abs(moved[:, 800:-800]).max() < 1e-4


def test_long_streams_resample_without_drift():
    stream = StreamResampler(44100, 24000, 1)
    piece = np.zeros((1, 4410), np.float32)
    n_out = sum(stream.push(piece).shape[1] for _ in range(3600)) + stream.finish().shape[1]
    assert n_out == 360 * 24000


def test_misuse_is_rejected():
    with pytest.raises(BadAudio, match="resample from"):
        StreamResampler(0, 24000, 1)
    with pytest.raises(BadAudio, match="resample from"):
        resample(Waveform(np.zeros((1, 10), np.float32), 1), 48000)
    stream = StreamResampler(48000, 24000, 2)
    with pytest.raises(BadAudio, match="takes"):
        stream.push(np.zeros((1, 10), np.float32))
    stream.finish()
    with pytest.raises(RuntimeError, match="finished"):
        stream.push(np.zeros((2, 10), np.float32))
