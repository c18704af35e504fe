"""Voice adaptation to reference audio sent with requests, cached by content."""

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

# About 20 MB each.
KEPT_VOICES = 4
# Adaptation takes seconds of a whole core, so further requests are rejected with `Busy`.
MAX_WAITING = 2
RETRY_S = 10.0


class AdaptedReferences:
    """Adapts one voice at a time. Thread-safe."""

    def __init__(self, adapter: VoiceAdapter, device: torch.device | str):
        self._adapter, self._device = adapter, device
        # For references that cannot be adapted to, the value is the reason.
        self.cache: BoundedCache[VoiceConditioning | str] = BoundedCache(KEPT_VOICES, KEPT_VOICES, lambda _: 1)
        self._adapting, self._counting = threading.Lock(), threading.Lock()
        self._n_pending = 0

    def voice(self, references: Sequence[PromptReference], start: Tensor, use_cache: bool) -> VoiceConditioning:
        """Return the voice adapted to `references`, starting from their speaker embedding `start` [D].

        Raises `VoiceAdaptationError`, which is cached too, and `Busy` if too many adaptations are pending.
        """
        text = " ".join(reference.text for reference in references)
        codes = np.concatenate([reference.codes for reference in references], axis=1)
        name = content_key(self._adapter.key, text, codes.shape[1], np.ascontiguousarray(codes, np.int64).tobytes())
        voice = self.cache.get(name) if use_cache else None
        if voice is None:
            with self._pending(), self._adapting:
                # A concurrent request with the same references may have filled the cache.
                voice = self.cache.get(name) if use_cache else None
                if voice is None:
                    voice = self._adapt(text, codes, start, name)
                    if use_cache:
                        self.cache.put(name, voice)
        if isinstance(voice, str):
            raise VoiceAdaptationError(voice)
        return voice

    def _adapt(self, text: str, codes: np.ndarray, start: Tensor, name: str) -> VoiceConditioning | str:
        try:
            tensors = self._adapter.adapt(text, codes, start)
        except VoiceAdaptationError as error:
            return str(error)
        voice = self._adapter.load(tensors, name, self._device)
        return voice or "The model changed during voice adaptation. Try again."

    @contextmanager
    def _pending(self) -> Iterator[None]:
        with self._counting:
            if self._n_pending > MAX_WAITING:
                raise Busy(
                    f"{self._n_pending} voice adaptations are pending; the limit is {MAX_WAITING + 1}. Try again soon.",
                    RETRY_S,
                )
            self._n_pending += 1
        try:
            yield
        finally:
            with self._counting:
                self._n_pending -= 1
