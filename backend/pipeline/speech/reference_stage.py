"""Stage one: recordings of a voice to codes, remembered by what the recording is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from backend.audio.files import read_audio
from backend.audio.waveform import Waveform
from backend.errors import BadRequest, VoiceAdaptationError
from backend.pipeline.codec.tasks import EncodeTask
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.codec_worker import CodecWorker
from backend.runtime.lm_worker import LMWorker
from backend.runtime.lru_cache import BoundedCache, content_key
from backend.runtime.request import SpeechRequest
from backend.runtime.trace import Trace
from backend.text.prompts.layout import PromptReference

if TYPE_CHECKING:
    from torch import Tensor

    from backend.lm.speaker_encoder import SpeakerEncoder
    from backend.pipeline.speech.adapted_references import AdaptedReferences

CACHE_BYTES = 64 * 2**20
# A codec that takes longer than this is stuck: the slowest here needs a second for a second.
BASE_S, PATIENCE = 60.0, 10.0


class ReferenceStage:
    """Encodes clips on the codec's thread.

    Only codes are remembered, under the hash of the clip's bytes and of the codec's weights; the words come from the
    request each time, so that a corrected transcript is never answered with the one before.
    """

    name = "reference"

    def __init__(
        self, codec_worker: CodecWorker, lm_worker: LMWorker, codes_hash: str, cache_entries: int,
        encoder: SpeakerEncoder | None = None, fitted: AdaptedReferences | None = None,
    ):  # fmt: skip
        self._worker, self._codes_hash, self._max_frames = codec_worker, codes_hash, lm_worker.max_frames
        self._lm_worker, self._encoder, self.fitted = lm_worker, encoder, fitted
        self.cache: BoundedCache[np.ndarray] = BoundedCache(cache_entries, CACHE_BYTES, lambda codes: codes.nbytes)

    @property
    def can_tell_speakers(self) -> bool:
        """Whether the model knows voices as vectors and comes with what makes one."""
        return bool(self._lm_worker.lm.spec.conditioning_dim) and self._encoder is not None

    def run(self, request: SpeechRequest, given: VoiceConditioning | None, timeline: Trace) -> VoiceConditioning:
        """The voice given, or the one of the request's clips. Raises what is wrong with a clip."""
        if given is not None:
            return self._fitted((), given, request.use_memory_cache) if request.fit_reference else given
        references, n_hits = [], 0
        for clip in request.references:
            key = content_key(self._codes_hash, clip.audio)
            codes = self.cache.get(key) if request.use_memory_cache else None
            if codes is None:
                codes = self.codes_of(self.read(clip.audio))
                if request.use_memory_cache:
                    self.cache.put(key, codes)
            else:
                n_hits += 1
            references.append(PromptReference(clip.text, codes))
        voice = self.voice_of(tuple(references))
        if request.fit_reference:
            voice = self._fitted(references, voice, request.use_memory_cache)
        return replace(voice, cache_hits=n_hits)

    def _fitted(
        self, references: Sequence[PromptReference], heard: VoiceConditioning, is_kept: bool
    ) -> VoiceConditioning:
        """The voice fitted to the references where that can be done; else as it is `heard`, and why."""
        if not references:
            return replace(heard, ignored=("fit_reference: no reference came along",))
        if self.fitted is None or heard.conditioning is None:
            return replace(heard, ignored=("fit_reference: this model is not fitted to voices",))
        try:
            return self.fitted.voice(references, heard.conditioning, is_kept)
        except VoiceAdaptationError as error:
            return replace(heard, ignored=(f"fit_reference: {error}",))

    def voice_of(self, references: tuple[PromptReference, ...]) -> VoiceConditioning:
        """Clips as the model takes them: to be continued, or as the vector of who speaks in them.

        Raises `BadRequest` where the model knows voices as vectors and comes without what makes one.
        """
        spec = self._lm_worker.lm.spec
        if not references or not spec.conditioning_dim:
            return VoiceConditioning(references)
        if self._encoder is None:
            raise BadRequest(
                f"'{spec.name}' speaks with its own voices only. Leave the reference out, or name a voice."
            )
        encoder, codes = self._encoder, np.concatenate([reference.codes for reference in references], axis=1)

        def vector() -> Tensor:
            device = next(encoder.parameters()).device
            return encoder(torch.from_numpy(codes[: spec.n_codebooks])[None].to(device))[0]

        return VoiceConditioning(conditioning=self._lm_worker.worker.call(vector).result(BASE_S))

    def codes_of(self, waveform: Waveform) -> np.ndarray:
        """Codes [K, T] of a sound, made on the codec's thread."""
        task = EncodeTask(waveform, self._worker.codec.spec)
        codes = self._worker.wait_for(task, task.future, BASE_S + PATIENCE * waveform.duration_s)
        return codes.indices[0].numpy()

    def read(self, audio: bytes) -> Waveform:
        """A clip's sound; raises `LimitExceeded` for one that no prompt could hold, whatever may be uploaded."""
        return read_audio(audio, max_duration_s=self._max_frames / self._worker.codec.spec.frame_rate_hz)
