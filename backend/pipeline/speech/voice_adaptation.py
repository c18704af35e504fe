"""Voice adaptation: fine-tunes an added voice on its sample once, for a higher speaker similarity."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import VoiceAdaptationError
from backend.lm.voice_adaptation import AdaptationClip, AdaptedVoice, adapt_voice, force_align, max_advance
from backend.nn.trim_memory import return_freed_memory
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.text.tokenizers.phoneme import PhonemeTokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from backend.lm.base import FrameSampler
    from backend.lm.dual_ar import DualAR

VECTOR = "conditioning"
# Longest sample accepted, and the part used for training: more adds little and takes longer.
MAX_SAMPLE_FRAMES, MAX_TRAIN_FRAMES = 750, 400


class VoiceAdapter:
    """Adapts voices with a separate copy of the weights, since the serving copy may be quantized and is in use.

    `key` identifies the model, method and step count that an adapted voice depends on. `build_sampler` optimizes a
    loaded model for serving.
    """

    def __init__(
        self, open_lm: Callable[[], DualAR], build_sampler: Callable[[DualAR], FrameSampler], tokenizer: PhonemeTokenizer,
        model_key: str, n_steps: int,
    ):  # fmt: skip
        self._open_lm, self._build_sampler, self._tokenizer, self._n_steps = open_lm, build_sampler, tokenizer, n_steps
        self.key = f"{model_key} fast {n_steps}"
        self._lock = threading.Lock()

    def adapt(self, text: str, codes: np.ndarray, start: Tensor) -> dict[str, Tensor]:
        """Adapt to `codes` [K, T] with transcript `text`, starting from the speaker embedding `start` [D].

        Returns the tensors to store. Raises `VoiceAdaptationError` if the transcript is empty or does not match the
        recording, or if the sample is too long.
        """
        ids = self._tokenizer.encode(text)
        if not ids:
            raise VoiceAdaptationError(
                "The reference has no transcript; voice adaptation needs the words spoken in the recording. Send them."
            )
        if codes.shape[1] > MAX_SAMPLE_FRAMES:
            raise VoiceAdaptationError(
                f"The recording has {codes.shape[1]} frames; voice adaptation takes {MAX_SAMPLE_FRAMES} at most. Cut it."
            )
        symbols = np.array([self._tokenizer.begin_id, *ids, self._tokenizer.finish_id], np.int64)
        with self._lock:
            adapted = self._adapt(symbols, codes, start.detach().cpu().float())
            # Adaptation takes 0.3 GB for a few seconds.
            return_freed_memory()
        return {VECTOR: adapted.vector, **{name: tensor.half() for name, tensor in adapted.fast.items()}}

    def _adapt(self, symbols: np.ndarray, codes: np.ndarray, start: Tensor) -> AdaptedVoice:
        lm = self._open_lm()
        codes = codes[: lm.spec.n_codebooks].astype(np.int64)
        can_align = codes.shape[1] * max_advance(lm) >= len(symbols)
        alignment = force_align(lm, symbols, codes, start) if can_align else None
        if alignment is None:
            raise VoiceAdaptationError(
                "The transcript does not match the recording. Correct it, or turn voice adaptation off."
            )
        return adapt_voice(lm, start, AdaptationClip(symbols, codes, alignment).first(MAX_TRAIN_FRAMES), self._n_steps)

    def load(self, tensors: Mapping[str, Tensor], name: str, device: torch.device | str) -> VoiceConditioning | None:
        """Return the voice for tensors from `adapt`, with the unique `name`; None if they are of another model."""
        with self._lock:
            frame_sampler = self._frame_sampler({key: tensor for key, tensor in tensors.items() if key != VECTOR})
            return_freed_memory()
        if frame_sampler is None or VECTOR not in tensors:
            return None
        return VoiceConditioning(conditioning=tensors[VECTOR].to(device), frame_sampler=frame_sampler, sampler_key=name)

    def _frame_sampler(self, fast: dict[str, Tensor]) -> FrameSampler | None:
        lm = self._open_lm()
        if {key: tensor.shape for key, tensor in fast.items()} != {key: t.shape for key, t in lm.fast_tensors.items()}:
            return None
        lm.load_state_dict(fast, strict=False)
        return self._build_sampler(lm)
