"""Small folders of WAV files for the tests of models of raw audio."""

import numpy as np

from tests.support.pcm_files import wav_bytes


def write_wavs(folder, n_files=6, n_samples=5000, channels=1, rate_hz=8000):
    """Slow tones at random pitches, 16-bit."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n_files):
        phase = np.cumsum(generator.uniform(0.02, 0.2) + np.zeros(n_samples))
        samples = np.stack([np.round(9000 * np.sin(phase * (c + 1))) for c in range(channels)]).astype(np.int32)
        (folder / f"{k}.wav").write_bytes(wav_bytes(samples, 2, rate_hz))
    return folder
