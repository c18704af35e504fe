"""The Lyra v2 baseline, from a folder with its three TFLite files, which do not ship with Phonogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.atomic_file import file_sha256
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import NotAvailable
from backend.evaluation.codec.systems import CodedAudio
from backend.metrics.optional_packages import require_package

RATE_HZ = 16_000
HOP_SAMPLES = 320
STAGE_BITS = 4
# Quantizer stages in use, of 46: 3.2, 6.0 and 9.2 kbps.
STAGES = {3.2: 16, 6.0: 30, 9.2: 46}
FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")


class Lyra:
    """Lyra v2 at one of its three bitrates. Sizes count the bits of the codes; there is no file."""

    def __init__(self, folder: Path, rate_kbps: float):
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise NotAvailable(
                f"The folder '{folder.name}' lacks {', '.join(missing)}. Pass the folder with the files of Lyra v2."
            )
        package = require_package("ai_edge_litert.interpreter", "ai-edge-litert")
        self.n_stages = STAGES[rate_kbps]
        self.name = f"lyra-{rate_kbps:g}"
        self.identity = f"lyra-1 {self.n_stages} " + " ".join(file_sha256(folder / name)[:16] for name in FILES)
        self._encoder, self._quantizer, self._decoder = (
            package.Interpreter(str(folder / name), num_threads=1) for name in FILES
        )
        for interpreter in (self._encoder, self._decoder):
            interpreter.allocate_tensors()
        self._to_codes = self._quantizer.get_signature_runner("encode")
        self._to_latent = self._quantizer.get_signature_runner("decode")

    def code(self, sound: Waveform) -> CodedAudio:
        samples = resample(sound, RATE_HZ).samples[0]
        n_frames = -(-len(samples) // HOP_SAMPLES)
        frames = np.pad(samples, (0, n_frames * HOP_SAMPLES - len(samples))).reshape(n_frames, 1, HOP_SAMPLES)
        # The interpreters hold the streaming state; reset it for each file.
        self._encoder.reset_all_variables()
        self._decoder.reset_all_variables()
        decoded = [self._decode(self._encode(frame)) for frame in frames]
        waveform = Waveform(np.concatenate(decoded)[None, : len(samples)].astype(np.float32), RATE_HZ)
        n_bytes = -(-n_frames * self.n_stages * STAGE_BITS // 8)
        return CodedAudio(waveform, n_bytes, n_bytes, RATE_HZ / 2)

    def _encode(self, frame: np.ndarray) -> np.ndarray:
        """Encodes samples [1, 320] as codes [46, 1, 1]; those of unused stages are -1."""
        latent = _invoke(self._encoder, frame)
        outputs = self._to_codes(input_frames=latent, num_quantizers=np.int32(self.n_stages))
        return next(value for value in outputs.values() if value.dtype == np.int32)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes codes [46, 1, 1] to samples [320]."""
        latent = self._to_latent(encoding_indices=codes)["output_0"]
        return _invoke(self._decoder, latent)[0]


def _invoke(interpreter: object, value: np.ndarray) -> np.ndarray:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)  # type: ignore[attr-defined]
    interpreter.invoke()  # type: ignore[attr-defined]
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])  # type: ignore[attr-defined]
