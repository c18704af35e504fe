"""Speaker similarity of two recordings, with the GE2E encoder of Resemblyzer."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.errors import ScoreUnavailable
from backend.metrics.optional_packages import require_package

RATE_HZ = 16_000


class SpeakerEmbedder:
    """Computes speaker embeddings on CPU."""

    def __init__(self) -> None:
        self._package: Any = require_package("resemblyzer", "resemblyzer")
        self._encoder: Any = self._package.VoiceEncoder("cpu", verbose=False)

    def embed(self, samples: np.ndarray) -> np.ndarray:
        """Returns the unit-length embedding [256] of speech [N] at 16 kHz. Raises `ScoreUnavailable` without speech."""
        if not np.any(samples):
            raise ScoreUnavailable("The audio is silent; a speaker embedding needs speech.")
        voiced = self._package.preprocess_wav(np.clip(samples, -1, 1).astype(np.float32))
        if len(voiced) < RATE_HZ // 4:
            raise ScoreUnavailable("The audio has less than 0.25 s of speech; a speaker embedding needs more.")
        return self._encoder.embed_utterance(voiced)

    def similarity(self, reference: np.ndarray, other: np.ndarray) -> float:
        """Returns the cosine similarity: 1 for equal audio, near 0.85 for one speaker, 0.6 for two."""
        return float(self.embed(reference) @ self.embed(other))
