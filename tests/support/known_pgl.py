"""Sounds of integers only, whose `.pgl` files are stored: the same on every machine, in both directions."""

import numpy as np

from tests.support.pcm_files import aiff_bytes, chunk, wav_bytes

LEVELS = (1, 5, 9)


def _noise(n, seed):
    """A linear congruential generator: -512...511."""
    values, state = [], seed
    for _ in range(n):
        state = (state * 1103515245 + 12345) % 2**31
        values.append((state >> 16) % 1024 - 512)
    return np.array(values)


def _resonance(n, seed, shift):
    """Noise through a two-pole filter in integers: something to predict."""
    samples, before, last = [], 0, 0
    for x in _noise(n, seed):
        value = int(x) // 16 + (7 * last) // 4 - (15 * before) // 16
        before, last = last, value
        samples.append(value)
    return np.array(samples) << shift


def known_sounds():
    """WAV and AIFF files by name."""
    n = 3400
    left, right = _resonance(n, 1, 2), _resonance(n, 2, 0)
    stereo = np.stack([left, left // 2 + right]).astype(np.int32)
    return {
        "stereo": wav_bytes(stereo, 2, 44100, after=chunk(b"LIST", b"notes")),
        "speech": wav_bytes(_resonance(n, 5, 1)[None].astype(np.int32), 2, 8000),
        "deep": aiff_bytes((stereo << 7) + _noise(n, 9)[None].astype(np.int32) // 8, 3, 96000),
    }
