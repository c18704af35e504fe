"""Speech recognition with a Whisper model from a local folder, for measuring intelligibility."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.errors import NotAvailable
from backend.metrics.optional_packages import require_package

RATE_HZ = 16_000
BEAM_SIZE = 5
FILES = ("model.bin", "config.json", "tokenizer.json")


class Recognizer:
    """A CTranslate2 Whisper model on CPU in int8 with beam size 5 and no temperature fallback, so it is deterministic."""

    def __init__(self, folder: Path, language: str = "en", threads: int = 1):
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise NotAvailable(
                f"The recognizer's folder '{folder.name}' lacks {', '.join(missing)}. Pass the folder of a CTranslate2 Whisper model."
            )
        package = require_package("faster_whisper", "faster-whisper")
        self.language = language
        try:
            self._model = package.WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise NotAvailable(
                f"The recognizer in '{folder.name}' cannot be loaded ({type(error).__name__}). Copy the model again."
            ) from error

    def transcribe(self, samples: np.ndarray) -> str:
        """Returns the transcript of samples [N] at 16 kHz."""
        segments, _ = self._model.transcribe(
            samples.astype(np.float32), language=self.language, beam_size=BEAM_SIZE, temperature=0.0,
            condition_on_previous_text=False, without_timestamps=True,
        )  # fmt: skip
        return " ".join(segment.text.strip() for segment in segments)
