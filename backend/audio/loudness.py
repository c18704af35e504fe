"""Loudness as heard: measured in LUFS by ITU-R BS.1770, and brought to a target."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm

from backend.audio.waveform import Waveform
from backend.errors import BadAudio

BLOCK_S = 0.4
GATE_LUFS = -70.0
# The standard weighs five channels; with more, their mean is measured.
MAX_CHANNELS = 5


def loudness_lufs(waveform: Waveform) -> float:
    """Integrated loudness; minus infinity where nothing passes the gate at -70 LUFS (silence).

    A clip shorter than one gating block of 0.4 s is measured as if repeated to fill it. Raises
    `BadAudio` for an empty waveform or NaN.
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
    # Where no block passes the gate the library takes the mean of nothing: NaN or -inf, with warnings.
    with np.errstate(all="ignore"):
        lufs = float(_meter(waveform.rate_hz).integrated_loudness(samples.T.astype(np.float64)))
    return lufs if lufs >= GATE_LUFS else -math.inf


def normalize_loudness(waveform: Waveform, target_lufs: float = -18.0, peak_limit_db: float = -1.0) -> Waveform:
    """The same sound at `target_lufs`, or quieter where its largest sample would pass `peak_limit_db`.

    One gain for all samples, so nothing is squeezed. Silence comes back as it is.
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
