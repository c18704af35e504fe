"""Voices fitted to recordings that came along with requests: once for all requests that bring the same ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import Busy, VoiceAdaptationError
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.lru_cache import BoundedCache, content_key
from backend.text.prompts.layout import PromptReference

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from backend.pipeline.speech.voice_adaptation import VoiceAdapter

# Each is some 20 MB.
KEPT_VOICES = 4
# A fit takes seconds of a whole core: whoever comes behind this many is told to come back.
MAX_WAITING = 2
RETRY_S = 10.0


class AdaptedReferences:
    """Fits one voice at a time, for any number of threads."""

    def __init__(self, fitter: VoiceAdapter, device: torch.device | str):
        self._fitter, self._device = fitter, device
        # Of what cannot be fitted, the reason.
        self.cache: BoundedCache[VoiceConditioning | str] = BoundedCache(KEPT_VOICES, KEPT_VOICES, lambda _: 1)
        self._turn, self._count = threading.Lock(), threading.Lock()
        self._n_here = 0

    def voice(self, references: Sequence[PromptReference], start: Tensor, is_kept: bool) -> VoiceConditioning:
        """The voice of `references`, beginning at the vector `start` [D] of who speaks in them.

        `is_kept` false fits anew and keeps nothing. Raises `VoiceAdaptationError`, for the same references again and at once, and
        `Busy` if too many wait already.
        """
        text = " ".join(reference.text for reference in references)
        codes = np.concatenate([reference.codes for reference in references], axis=1)
        name = content_key(self._fitter.key, text, codes.shape[1], np.ascontiguousarray(codes, np.int64).tobytes())
        found = self.cache.get(name) if is_kept else None
        if found is None:
            with self._place(), self._turn:
                # Somebody who came with the same may have gone before.
                found = self.cache.get(name) if is_kept else None
                if found is None:
                    found = self._fit(text, codes, start, name)
                    if is_kept:
                        self.cache.put(name, found)
        if isinstance(found, str):
            raise VoiceAdaptationError(found)
        return found

    def _fit(self, text: str, codes: np.ndarray, start: Tensor, name: str) -> VoiceConditioning | str:
        try:
            kept = self._fitter.fit(text, codes, start)
        except VoiceAdaptationError as error:
            return str(error)
        voice = self._fitter.spoken(kept, name, self._device)
        return voice or "The model changed while a voice was fitted to it. Try again."

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._count:
            if self._n_here > MAX_WAITING:
                raise Busy(f"{self._n_here} voices are being fitted or wait for it. Try again soon.", RETRY_S)
            self._n_here += 1
        try:
            yield
        finally:
            with self._count:
                self._n_here -= 1
