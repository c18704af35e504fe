"""Music labels as the inputs of a model: ids of every frame, with a clock of bars and beats, and one vector a piece."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from backend.music.instruments import INSTRUMENTS
from backend.music.moods import MOODS
from backend.music.styles import STYLES
from backend.music.theory import METERS, MODES, PITCH_NAMES, Meter

KEYS = tuple(f"{note} {mode}" for mode in MODES for note in PITCH_NAMES)
METER_NAMES = tuple(meter.name for meter in METERS)
LOWEST_BPM, BPM_A_BIN, TEMPO_BINS = 40, 2, 100
BAR_STEPS, BEAT_STEPS = 16, 8
N_WORDS = 256
# Fields that may be left out; the clock always runs.
FIELDS = ("tempo_bpm", "key", "meter", "genre", "mood", "instruments")
# Id 0 of every column is "not said"; the last two columns are the places in the bar and in the beat.
SIDE_SIZES = (
    1 + TEMPO_BINS, 1 + len(KEYS), 1 + len(METER_NAMES), 1 + len(STYLES), 1 + len(MOODS), BAR_STEPS, BEAT_STEPS,
)  # fmt: skip
CONDITIONING_DIM = len(INSTRUMENTS) + N_WORDS
WORD = re.compile(r"[a-z0-9#/'-]+")


def frame_ids(
    labels: Mapping[str, Any], first_frame: int, n_frames: int, frame_rate_hz: float, dropped: Collection[str] = ()
) -> np.ndarray:
    """Ids [n_frames, 7] of the frames from `first_frame` on, counted from the first beat. `dropped`: fields left out."""
    known = {name: value for name, value in labels.items() if name not in dropped}
    ids = np.zeros((n_frames, len(SIDE_SIZES)), np.int64)
    ids[:, 0] = _tempo_bin(known.get("tempo_bpm"))
    for column, (name, values) in enumerate(
        (("key", KEYS), ("meter", METER_NAMES), ("genre", tuple(STYLES)), ("mood", tuple(MOODS))), start=1
    ):
        value = known.get(name)
        ids[:, column] = values.index(value) + 1 if value in values else 0
    ids[:, 5:] = clock(labels, first_frame, n_frames, frame_rate_hz)
    return ids


def clock(labels: Mapping[str, Any], first_frame: int, n_frames: int, frame_rate_hz: float) -> np.ndarray:
    """Places in the bar (16 steps) and in the beat (8 steps) of the middle of each frame, [n_frames, 2]."""
    beat_s = 60.0 / labels["tempo_bpm"]
    # Scores have meters that are not composed in, such as 3/8.
    numerator, denominator = map(int, labels["meter"].split("/"))
    meter = Meter(numerator, denominator)
    beats = (first_frame + np.arange(n_frames) + 0.5) / frame_rate_hz / beat_s
    bars = beats / float(meter.bar_quarters / meter.beat_quarters)
    return np.stack((bars % 1 * BAR_STEPS, beats % 1 * BEAT_STEPS), axis=1).astype(np.int64)


def piece_vector(labels: Mapping[str, Any], caption: str, dropped: Collection[str] = ()) -> np.ndarray:
    """Instruments (1 for each that plays) and the caption's words in hashed bins of unit length, [CONDITIONING_DIM]."""
    vector = np.zeros(CONDITIONING_DIM, np.float32)
    names = list(INSTRUMENTS)
    if "instruments" not in dropped:
        for name in labels.get("instruments", ()):
            if name in INSTRUMENTS:
                vector[names.index(name)] = 1
    words = WORD.findall(caption.lower())
    for word in words:
        vector[len(names) + zlib.crc32(word.encode()) % N_WORDS] += 1
    length = np.linalg.norm(vector[len(names) :])
    if length:
        vector[len(names) :] /= length
    return vector


def _tempo_bin(tempo_bpm: float | None) -> int:
    if tempo_bpm is None:
        return 0
    return 1 + int(np.clip((tempo_bpm - LOWEST_BPM) // BPM_A_BIN, 0, TEMPO_BINS - 1))
