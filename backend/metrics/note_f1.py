"""Whether decoded music keeps its notes: the notes Basic Pitch hears in the original against those in the decoding.

Only the package's ONNX file is used, so neither TensorFlow nor the package's other requirements are needed. Notes are
read from its onset and note activations by thresholds of this file; scores compare with each other, not with papers.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr

from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics.optional_packages import require_package

DISTRIBUTION = "basic-pitch"
RATE_HZ = 22_050
WINDOW_SAMPLES = 43_844
FRAME_SAMPLES = 256
# Frames at either end of a window that its neighbor knows better.
MARGIN_FRAMES = 15
ONSET_THRESHOLD = 0.5
NOTE_THRESHOLD = 0.3
MIN_NOTE_FRAMES = 8
ONSET_TOLERANCE_S = 0.05
LOWEST_MIDI = 21


class HeardNote(NamedTuple):
    """A note heard: its start in seconds and its MIDI pitch."""

    start_s: float
    pitch: int


class NoteListener:
    """Basic Pitch by ONNX Runtime. Raises `NotAvailable` where the package or the runtime is missing."""

    def __init__(self) -> None:
        runtime = require_package("onnxruntime", "onnxruntime")
        package = find_spec("basic_pitch")
        model = None
        if package is not None and package.origin is not None:
            model = Path(package.origin).parent / "saved_models" / "icassp_2022" / "nmp.onnx"
        if model is None or not model.is_file():
            raise NotAvailable(
                f"The note model is not installed; the package {DISTRIBUTION} is needed. Install it without its "
                f"requirements: pip install --no-deps {DISTRIBUTION}."
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def notes(self, samples: np.ndarray, rate_hz: int) -> list[HeardNote]:
        """The notes in samples [N]."""
        sound = soxr.resample(samples.astype(np.float32), rate_hz, RATE_HZ)
        n_frames = max(len(sound) // FRAME_SAMPLES, 1)
        n_window = WINDOW_SAMPLES // FRAME_SAMPLES
        step = n_window - 2 * MARGIN_FRAMES
        n_steps = -(-n_frames // step)
        padded = np.zeros((n_steps - 1) * step * FRAME_SAMPLES + WINDOW_SAMPLES + FRAME_SAMPLES, np.float32)
        first = MARGIN_FRAMES * FRAME_SAMPLES
        n_kept = min(len(sound), len(padded) - first)
        padded[first : first + n_kept] = sound[:n_kept]
        starts = np.arange(n_steps) * step * FRAME_SAMPLES
        windows = np.stack([padded[start : start + WINDOW_SAMPLES] for start in starts])[:, :, None]
        name = self._session.get_inputs()[0].name
        outputs = self._session.run(["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"], {name: windows})
        note, onset = (x[:, MARGIN_FRAMES : MARGIN_FRAMES + step].reshape(-1, x.shape[2])[:n_frames] for x in outputs)
        return find_notes(note, onset)


def find_notes(note: np.ndarray, onset: np.ndarray) -> list[HeardNote]:
    """Notes from activations [frames, 88]: peaks of the onset whose note lasts at least 90 ms."""
    before = np.vstack([np.zeros_like(onset[:1]), onset[:-1]])
    after = np.vstack([onset[1:], np.zeros_like(onset[:1])])
    is_start = (onset >= ONSET_THRESHOLD) & (onset >= before) & (onset > after)
    found = []
    for frame, key in zip(*np.nonzero(is_start), strict=True):
        held = note[frame : frame + MIN_NOTE_FRAMES, key] >= NOTE_THRESHOLD
        # The first frames of a note may still be rising.
        if len(held) == MIN_NOTE_FRAMES and held[2:].all():
            found.append(HeardNote(frame * FRAME_SAMPLES / RATE_HZ, LOWEST_MIDI + int(key)))
    return found


def note_f1(wanted: list[HeardNote], found: list[HeardNote]) -> float:
    """F1 score, 0 to 1: notes agree if their pitch is equal and their starts are within 50 ms; each agrees with one.

    Raises `ScoreUnavailable` where there are no notes to find.
    """
    if not wanted:
        raise ScoreUnavailable("No note is heard in the original; a score needs one.")
    n_matched = 0
    for pitch in {note.pitch for note in wanted}:
        left = sorted(note.start_s for note in found if note.pitch == pitch)
        for start_s in sorted(note.start_s for note in wanted if note.pitch == pitch):
            while left and left[0] < start_s - ONSET_TOLERANCE_S:
                left.pop(0)
            if left and left[0] <= start_s + ONSET_TOLERANCE_S:
                left.pop(0)
                n_matched += 1
    return 2 * n_matched / (len(wanted) + len(found))
