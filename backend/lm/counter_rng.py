"""Counter-based random numbers: noise is a function of its position, not of earlier draws.

A counter goes through an integer hash in tensor operations, so a seed yields the same noise on every device, alone or
in a batch, and a frame can be sampled again without sampling those before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backend.nn.counter_noise import mix

_LOW = 0xFFFFFFFF


def noise_keys(seeds: Tensor, frames: Tensor, streams: Tensor) -> Tensor:
    """Returns the noise keys [B, K, 2] at `frames` [B] of rows seeded `seeds` [B] (int64), for each of `streams` [K].

    A stream is one decision within a frame: the main id, one code, an auxiliary head.
    """
    low, high = (seeds & _LOW) ^ 0x9E3779B9, ((seeds >> 32) & _LOW) ^ 0x85EBCA6B
    first = mix(mix(low) ^ (frames & _LOW))[:, None] ^ mix(streams * 0x9E3779B1 & _LOW)
    second = mix(mix(high) ^ (frames * 0xC2B2AE35 & _LOW))[:, None] ^ mix(streams * 0x27D4EB2F + 1 & _LOW)
    return torch.stack((mix(first), mix(second)), dim=-1)


def uniform(keys: Tensor, entries: Tensor) -> Tensor:
    """Returns uniform numbers in (0, 1) (float32, 23 bits) for `entries` [B, V] under `keys` [B, 2]."""
    x = mix((entries * 0x9E3779B1 + keys[:, :1]) & _LOW)
    x = mix(x ^ keys[:, 1:])
    return ((x >> 9).float() + 0.5) * 2.0**-23


def exponential(keys: Tensor, entries: Tensor) -> Tensor:
    """Returns exponentially distributed numbers for `entries` [B, V]: positive, mean 1."""
    return -uniform(keys, entries).log()


class SamplingNoise:
    """Generates all noise of a frame of B rows in NumPy: `streams` [S] decisions among up to V ids each.

    Values equal those of `exponential` bit for bit, in a few large operations instead of many small ones.
    """

    def __init__(self, B: int, streams: Sequence[int], V: int):
        self.entries = (np.arange(V) * 0x9E3779B1 & _LOW).astype(np.uint32)
        stream_ids = np.array(streams, np.int64)
        hashed = np.stack((stream_ids * 0x9E3779B1 & _LOW, stream_ids * 0x27D4EB2F + 1 & _LOW)).astype(np.uint32)[
            :, None
        ]
        self.streams = _mix_words(hashed, np.empty_like(hashed))
        self.bits, self.spare = np.empty((2, B, len(stream_ids), V), np.uint32)
        self.waits = torch.empty(B, len(stream_ids), V)
        self.keys = np.empty((2, B, len(stream_ids)), np.uint32)

    def log_waits(self, places: Sequence[tuple[int, int]]) -> np.ndarray:
        """Returns the logarithms [B, S, V] of the exponential noise at each row's (seed, frame); the next call
        overwrites them.
        """
        rows = np.array([_row_words(seed, frame) for seed, frame in places], np.uint32).T[:, :, None]
        keys = self.keys
        np.bitwise_xor(rows, self.streams, out=keys)
        first, second = _mix_words(keys, np.empty_like(keys))[:, :, :, None]
        bits = np.add(self.entries, first, out=self.bits)
        _mix_words(bits, self.spare)
        bits ^= second
        _mix_words(bits, self.spare)
        bits >>= np.uint32(9)
        waits = self.waits.numpy()
        np.copyto(waits, bits, casting="unsafe")
        waits += np.float32(0.5)
        waits *= np.float32(2.0**-23)
        self.waits.log_().neg_().log_()
        return waits


def _row_words(seed: int, frame: int) -> tuple[int, int]:
    """Computes the part of `noise_keys` that depends on the row alone."""
    low, high = (seed & _LOW) ^ 0x9E3779B9, ((seed >> 32) & _LOW) ^ 0x85EBCA6B
    return _mix_word(_mix_word(low) ^ (frame & _LOW)), _mix_word(_mix_word(high) ^ (frame * 0xC2B2AE35 & _LOW))


def _mix_word(x: int) -> int:
    x = (x ^ x >> 16) * 0x7FEB352D & _LOW
    x = (x ^ x >> 15) * 0x846CA68B & _LOW
    return x ^ x >> 16


def _mix_words(x: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """Applies `mix` to 32-bit words in place; uint32 products wrap by themselves."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, None)):
        np.right_shift(x, np.uint32(shift), out=spare)
        np.bitwise_xor(x, spare, out=x)
        if factor is not None:
            np.multiply(x, np.uint32(factor), out=x)
    return x
