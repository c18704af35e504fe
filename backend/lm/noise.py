"""Noise that is a function of where it is used, not of what was drawn before.

A counter goes through an integer hash written in tensor operations, so a seed means the same noise on every device,
alone or in a batch, and a frame can be drawn again without drawing those before it.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def mix(x: Tensor) -> Tensor:
    """Spread integers 0...2^32-1 (int64) over the same range; one-to-one."""
    # Multipliers by Wellons; products wrap in int64, which leaves their low half right.
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D).bitwise_and_(_LOW)
    x ^= x >> 15
    x = x.mul_(0x846CA68B).bitwise_and_(_LOW)
    return x.bitwise_xor_(x >> 16)


def noise_keys(seeds: Tensor, frames: Tensor, streams: Tensor) -> Tensor:
    """Keys [B, K, 2] of the noise at `frames` [B] of rows seeded `seeds` [B] (int64), for each of `streams` [K].

    A stream is one decision inside a frame: the main id, one code, an auxiliary head.
    """
    low, high = (seeds & _LOW) ^ 0x9E3779B9, ((seeds >> 32) & _LOW) ^ 0x85EBCA6B
    first = mix(mix(low) ^ (frames & _LOW))[:, None] ^ mix(streams * 0x9E3779B1 & _LOW)
    second = mix(mix(high) ^ (frames * 0xC2B2AE35 & _LOW))[:, None] ^ mix(streams * 0x27D4EB2F + 1 & _LOW)
    return torch.stack((mix(first), mix(second)), dim=-1)


def uniform(keys: Tensor, entries: Tensor) -> Tensor:
    """Numbers strictly between 0 and 1 (float32, 23 bits) for `entries` [B, V] under `keys` [B, 2]."""
    x = mix((entries * 0x9E3779B1 + keys[:, :1]) & _LOW)
    x = mix(x ^ keys[:, 1:])
    return ((x >> 9).float() + 0.5) * 2.0**-23


def exponential(keys: Tensor, entries: Tensor) -> Tensor:
    """Exponentially distributed waiting times for `entries` [B, V]: positive, mean 1."""
    return -uniform(keys, entries).log()
