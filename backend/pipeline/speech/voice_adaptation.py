"""An added voice fitted to its sample: seconds of work once, for a voice that is more like its owner."""

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
# Of a sample: more than this is not read along, and more than that says little new of a voice and takes longer.
MOST_READ_FRAMES, MOST_FRAMES = 750, 400


class VoiceAdapter:
    """Fits with weights of its own, read when they are needed: those that speak may be quantized, and are busy.

    `key` names what its voices are good for: a model, a way of fitting and a number of steps. `open_drawer` makes what
    speaks of a model as it was read.
    """

    def __init__(
        self, open_lm: Callable[[], DualAR], open_drawer: Callable[[DualAR], FrameSampler], tokenizer: PhonemeTokenizer,
        model_key: str, n_steps: int,
    ):  # fmt: skip
        self._open_lm, self._open_drawer, self._tokenizer, self._n_steps = open_lm, open_drawer, tokenizer, n_steps
        self.key = f"{model_key} fast {n_steps}"
        self._turn = threading.Lock()

    def fit(self, text: str, codes: np.ndarray, start: Tensor) -> dict[str, Tensor]:
        """What is to be kept of who says `text` in `codes` [K, T], beginning at the vector `start` [D].

        Raises `VoiceAdaptationError` where there is nothing to go by: no words, other words than are heard, or too long a sample.
        """
        ids = self._tokenizer.encode(text)
        if not ids:
            raise VoiceAdaptationError(
                "There are no words to fit a voice by. Give those that are said in the recording."
            )
        if codes.shape[1] > MOST_READ_FRAMES:
            raise VoiceAdaptationError(
                f"The recording has {codes.shape[1]} frames; a voice is fitted to {MOST_READ_FRAMES} at most. Cut it."
            )
        symbols = np.array([self._tokenizer.begin_id, *ids, self._tokenizer.finish_id], np.int64)
        with self._turn:
            fitted = self._fitted(symbols, codes, start.detach().cpu().float())
            # 0.3 GB for a few seconds.
            return_freed_memory()
        return {VECTOR: fitted.vector, **{name: tensor.half() for name, tensor in fitted.fast.items()}}

    def _fitted(self, symbols: np.ndarray, codes: np.ndarray, start: Tensor) -> AdaptedVoice:
        lm = self._open_lm()
        codes = codes[: lm.spec.n_codebooks].astype(np.int64)
        fits = codes.shape[1] * max_advance(lm) >= len(symbols)
        place = force_align(lm, symbols, codes, start) if fits else None
        if place is None:
            raise VoiceAdaptationError(
                "The words given are not what is heard in the recording. Correct them, or do without fitting."
            )
        return adapt_voice(lm, start, AdaptationClip(symbols, codes, place).first(MOST_FRAMES), self._n_steps)

    def spoken(self, kept: Mapping[str, Tensor], name: str, device: torch.device | str) -> VoiceConditioning | None:
        """The voice of what `fit` gave, `name` telling it from others; None if it is not of this model."""
        with self._turn:
            frame_sampler = self._frame_sampler({key: tensor for key, tensor in kept.items() if key != VECTOR})
            return_freed_memory()
        if frame_sampler is None or VECTOR not in kept:
            return None
        return VoiceConditioning(conditioning=kept[VECTOR].to(device), frame_sampler=frame_sampler, drawer_key=name)

    def _frame_sampler(self, fast: dict[str, Tensor]) -> FrameSampler | None:
        lm = self._open_lm()
        if {key: tensor.shape for key, tensor in fast.items()} != {key: t.shape for key, t in lm.fast_tensors.items()}:
            return None
        lm.load_state_dict(fast, strict=False)
        return self._open_drawer(lm)
