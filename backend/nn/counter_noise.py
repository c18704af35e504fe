"""White noise that is a function of a seed and a sample index: equal in any pieces, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_TO_UNIT_VARIANCE = 12.0**0.5


def mix(x: Tensor) -> Tensor:
    """Hashes integers 0...2^32-1 (int64) one-to-one onto the same range."""
    # Wellons's multipliers; int64 products wrap, which keeps their low 32 bits correct.
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D).bitwise_and_(_LOW)
    x ^= x >> 15
    x = x.mul_(0x846CA68B).bitwise_and_(_LOW)
    return x.bitwise_xor_(x >> 16)


def white_noise(seeds: Tensor, first: Tensor, n_samples: int) -> Tensor:
    """Uniform noise [B, n_samples] (float32, mean 0, variance 1) of streams `seeds` [B] from sample `first` [B] on."""
    index = first[:, None] + torch.arange(n_samples, device=first.device)
    keys = mix(mix((seeds & _LOW) ^ 0x9E3779B9) ^ ((seeds >> 32) & _LOW))
    # The upper half of the index goes in separately, so streams do not repeat after 2^32 samples.
    bits = mix(mix((index & _LOW) ^ keys[:, None]) ^ ((index >> 32) & _LOW))
    return (((bits >> 8).float() + 0.5) * 2.0**-24 - 0.5) * _TO_UNIT_VARIANCE
