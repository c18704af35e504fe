"""Bodies rewritten on their way: the pieces do not matter, and nothing is lost at the end."""

import numpy as np
import pytest

from backend.api.rewritten import PcmRate
from backend.audio.pcm import from_int16, to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("piece_samples", [50, 4410, 44100])
def test_samples_at_another_rate_are_those_of_the_whole(n_channels, piece_samples):
    times_s = np.arange(44_100 + 7) / 44_100
    samples = to_int16(
        np.stack([0.4 * np.sin(2 * np.pi * (300 + 200 * channel) * times_s) for channel in range(n_channels)])
    )
    rewrite = PcmRate(44_100, 24_000, n_channels)
    pieces = [samples[:, at : at + piece_samples].T.tobytes() for at in range(0, samples.shape[1], piece_samples)]
    sent = b"".join([*(rewrite(piece, False) for piece in pieces), rewrite(b"", True)])
    whole = resample(Waveform(from_int16(samples).mean(axis=0, keepdims=True), 44_100), 24_000)
    got = np.frombuffer(sent, "<i2").astype(int)
    assert len(got) == whole.n_samples and np.abs(got - to_int16(whole.samples)[0]).max() <= 1
