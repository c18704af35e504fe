"""Whether decoded music keeps its harmony and its rhythm. Both sounds are aligned float arrays [N]."""

from __future__ import annotations

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.reconstruction import magnitudes, require_pair

CHROMA_WINDOW_S = 0.2
CHROMA_RANGE_HZ = (55.0, 4000.0)
ONSET_WINDOW_S = 0.032
ONSET_TOLERANCE_S = 0.05
# A peak of the spectral flux is an onset if it exceeds the mean of its surroundings by this share of the maximum.
ONSET_RISE = 0.1
ONSET_SURROUNDINGS_S = 0.25
SILENCE = 1e-6


def chroma_similarity(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """Mean cosine similarity, 0 to 1, of the energy in the twelve pitch classes over frames of 0.2 s.

    Frames more than 60 dB below the loudest do not count. Raises `ScoreUnavailable` for silence.
    """
    window = _even(CHROMA_WINDOW_S * rate_hz)
    require_pair(reference, decoded, window)
    bins_hz = np.arange(1, window // 2 + 1) * rate_hz / window
    is_used = (bins_hz >= CHROMA_RANGE_HZ[0]) & (bins_hz <= CHROMA_RANGE_HZ[1])
    pitch_class = np.round(12 * np.log2(bins_hz[is_used] / 440.0)).astype(int) % 12
    classes = np.eye(12)[pitch_class]
    pair = [np.square(magnitudes(x, window, window // 4)[:, 1:][:, is_used]) @ classes for x in (reference, decoded)]
    energy = pair[0].sum(axis=1)
    is_heard = energy > max(energy.max() * 1e-6, SILENCE**2)
    if not is_heard.any():
        raise ScoreUnavailable("The original has no sound between 55 Hz and 4 kHz; chroma needs some.")
    wanted, found = pair[0][is_heard], pair[1][is_heard]
    norms = np.linalg.norm(wanted, axis=1) * np.maximum(np.linalg.norm(found, axis=1), SILENCE**2)
    return float(np.mean((wanted * found).sum(axis=1) / norms))


def onset_f1(reference: np.ndarray, decoded: np.ndarray, rate_hz: int) -> float:
    """F1 score, 0 to 1, of the onsets of `decoded` against those of `reference`, within 50 ms.

    Raises `ScoreUnavailable` where the original has no onset.
    """
    wanted, found = (onsets_s(samples, rate_hz) for samples in (reference, decoded))
    require_pair(reference, decoded, 1)
    if not len(wanted):
        raise ScoreUnavailable("The original has no onset; a score needs one.")
    n_matched, at = 0, 0
    for time_s in wanted:
        while at < len(found) and found[at] < time_s - ONSET_TOLERANCE_S:
            at += 1
        if at < len(found) and found[at] <= time_s + ONSET_TOLERANCE_S:
            n_matched += 1
            at += 1
    return 2 * n_matched / (len(wanted) + len(found))


def onsets_s(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """The times in seconds at which the log spectrum of samples [N] rises suddenly."""
    window = _even(ONSET_WINDOW_S * rate_hz)
    hop = window // 4
    if len(samples) < 2 * window:
        raise ScoreUnavailable(f"The sound has {len(samples)} samples; onsets need at least {2 * window}.")
    levels = np.log1p(1000 * magnitudes(samples, window, hop))
    flux = np.maximum(np.diff(levels, axis=0), 0).mean(axis=1)
    if flux.max() < SILENCE:
        return np.zeros(0)
    reach = max(int(ONSET_SURROUNDINGS_S * rate_hz / hop / 2), 1)
    padded = np.pad(flux, reach, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    near = around[:, reach - 2 : reach + 3] if reach >= 2 else around
    is_onset = (flux >= near.max(axis=1)) & (flux > around.mean(axis=1) + ONSET_RISE * flux.max())
    frames = np.flatnonzero(is_onset)
    return (frames + 1) * hop / rate_hz + window / 2 / rate_hz


def _even(samples: float) -> int:
    return 2 * round(samples / 2)
