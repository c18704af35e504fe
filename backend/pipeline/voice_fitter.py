"""The vector of an added voice, fitted to its sample: seconds of work once, for a voice that is more like its owner."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from backend.lm.voice_fit import Recording, fit_voice, max_advance, read_along
from backend.text.phoneme_tokenizer import PhonemeTokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from backend.lm.dual_ar import DualAR

log = logging.getLogger(__name__)

# Of a sample: more says little new of a voice and takes longer.
MOST_FRAMES = 400


class VoiceFitter:
    """Fits with weights of its own, read when they are needed: those that speak may be quantized, and are busy.

    `key` names what its vectors are good for: a model and a number of steps.
    """

    def __init__(self, open_lm: Callable[[], DualAR], tokenizer: PhonemeTokenizer, model_key: str, n_steps: int):
        self._open_lm, self._tokenizer, self._n_steps = open_lm, tokenizer, n_steps
        self.key = f"{model_key} {n_steps}"
        self._turn = threading.Lock()

    def fit(self, text: str, codes: np.ndarray, start: Tensor) -> Tensor | None:
        """The vector [D] of who says `text` in `codes` [K, T], beginning at `start` [D].

        None where there is nothing to go by: no words, other words than are heard, or too long a sample.
        """
        ids = self._tokenizer.encode(text)
        if not ids or codes.shape[1] > MOST_FRAMES:
            return None
        symbols = np.array([self._tokenizer.begin_id, *ids, self._tokenizer.finish_id], np.int64)
        with self._turn:
            lm = self._open_lm()
            if codes.shape[1] * max_advance(lm) < len(symbols):
                return None
            vector = start.detach().cpu().float()
            codes = codes[: lm.spec.n_codebooks].astype(np.int64)
            place = read_along(lm, symbols, codes, vector)
            if place is None:
                log.info("The words given with a sample are not what is heard in it; its voice is not fitted.")
                return None
            fitted = fit_voice(lm, vector, Recording(symbols, codes, place), self._n_steps)
        return fitted.to(start)
