"""Loudness measurement in LUFS (ITU-R BS.1770) and normalization."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm

from backend.audio.waveform import Waveform
from backend.errors import BadAudio

BLOCK_S = 0.4
GATE_LUFS = -70.0
# The standard defines weights for five channels; with more, their mean is measured.
MAX_CHANNELS = 5


def loudness_lufs(waveform: Waveform) -> float:
    """Return the integrated loudness; minus infinity if no block passes the gate at -70 LUFS (silence).

    A clip shorter than one gating block of 0.4 s is repeated to fill it. Raises `BadAudio` for an empty waveform or
    NaN.
    """
    if waveform.n_samples == 0:
        raise BadAudio("The waveform has no samples; its loudness is undefined. Check the source.")
    samples = waveform.require_finite().samples
    if waveform.n_channels > MAX_CHANNELS:
        samples = waveform.mono().samples
    if not samples.any():
        return -math.inf
    n_block = math.ceil(BLOCK_S * waveform.rate_hz) + 1
    if samples.shape[1] < n_block:
        samples = np.tile(samples, -(-n_block // samples.shape[1]))
    # If no block passes the gate, the library returns NaN or -inf with warnings.
    with np.errstate(all="ignore"):
        lufs = float(_meter(waveform.rate_hz).integrated_loudness(samples.T.astype(np.float64)))
    return lufs if lufs >= GATE_LUFS else -math.inf


def normalize_loudness(waveform: Waveform, target_lufs: float = -18.0, peak_limit_db: float = -1.0) -> Waveform:
    """Scale audio to `target_lufs`, or lower if its peak would exceed `peak_limit_db`.

    One gain is applied to all samples, without compression. Silence is returned unchanged.
    """
    if not (math.isfinite(target_lufs) and math.isfinite(peak_limit_db)):
        raise BadAudio(f"Cannot normalize to {target_lufs} LUFS under {peak_limit_db} dB; both must be finite.")
    lufs = loudness_lufs(waveform)
    if lufs == -math.inf:
        return waveform
    peak = float(np.abs(waveform.samples).max())
    gain = min(10 ** ((target_lufs - lufs) / 20), 10 ** (peak_limit_db / 20) / peak)
    return Waveform(waveform.samples * np.float32(gain), waveform.rate_hz)


def _meter(rate_hz: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(rate_hz, block_size=BLOCK_S)
