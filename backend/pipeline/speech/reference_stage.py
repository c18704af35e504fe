"""Reference stage: encodes reference audio to codes, cached by content hash."""

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
# A codec that takes longer than BASE_S + TIMEOUT_RTF * duration is stuck: the slowest one runs at an RTF of 1.
BASE_S, TIMEOUT_RTF = 60.0, 10.0


class ReferenceStage:
    """Encodes reference clips on the codec thread.

    Codes are cached under the hash of the clip's bytes and the codec's weights. Transcripts are not cached, so a
    corrected transcript takes effect at once.
    """

    name = "reference"

    def __init__(
        self, codec_worker: CodecWorker, lm_worker: LMWorker, codes_hash: str, cache_entries: int,
        encoder: SpeakerEncoder | None = None, adapted: AdaptedReferences | None = None,
    ):  # fmt: skip
        self._worker, self._codes_hash, self._max_frames = codec_worker, codes_hash, lm_worker.max_frames
        self._lm_worker, self._encoder, self.adapted = lm_worker, encoder, adapted
        self.cache: BoundedCache[np.ndarray] = BoundedCache(cache_entries, CACHE_BYTES, lambda codes: codes.nbytes)

    @property
    def has_speaker_encoder(self) -> bool:
        """Whether the model uses speaker embeddings and includes a speaker encoder."""
        return bool(self._lm_worker.lm.spec.conditioning_dim) and self._encoder is not None

    def run(self, request: SpeechRequest, named: VoiceConditioning | None, timeline: Trace) -> VoiceConditioning:
        """Return the named voice, or the one of the request's clips. Raises an error for an unusable clip."""
        if named is not None:
            return self._adapted((), named, request.use_memory_cache) if request.fit_reference else named
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
        voice = self.conditioning_of(tuple(references))
        if request.fit_reference:
            voice = self._adapted(references, voice, request.use_memory_cache)
        return replace(voice, cache_hits=n_hits)

    def _adapted(
        self, references: Sequence[PromptReference], voice: VoiceConditioning, use_cache: bool
    ) -> VoiceConditioning:
        """Return the voice adapted to the references, or `voice` with the reason in `ignored`."""
        if not references:
            return replace(voice, ignored=("fit_reference: the request has no references",))
        if self.adapted is None or voice.conditioning is None:
            return replace(voice, ignored=("fit_reference: this model does not support voice adaptation",))
        try:
            return self.adapted.voice(references, voice.conditioning, use_cache)
        except VoiceAdaptationError as error:
            return replace(voice, ignored=(f"fit_reference: {error}",))

    def conditioning_of(self, references: tuple[PromptReference, ...]) -> VoiceConditioning:
        """Return clips as model conditioning: a prompt to continue, or a speaker embedding.

        Raises `BadRequest` if the model needs a speaker embedding and has no speaker encoder.
        """
        spec = self._lm_worker.lm.spec
        if not references or not spec.conditioning_dim:
            return VoiceConditioning(references)
        if self._encoder is None:
            raise BadRequest(
                f"'{spec.name}' supports its built-in voices only. Leave the reference out, or name a voice."
            )
        encoder, codes = self._encoder, np.concatenate([reference.codes for reference in references], axis=1)

        def vector() -> Tensor:
            device = next(encoder.parameters()).device
            return encoder(torch.from_numpy(codes[: spec.n_codebooks])[None].to(device))[0]

        return VoiceConditioning(conditioning=self._lm_worker.worker.call(vector).result(BASE_S))

    def codes_of(self, waveform: Waveform) -> np.ndarray:
        """Encode audio to codes [K, T] on the codec thread."""
        task = EncodeTask(waveform, self._worker.codec.spec)
        codes = self._worker.wait_for(task, task.future, BASE_S + TIMEOUT_RTF * waveform.duration_s)
        return codes.indices[0].numpy()

    def read(self, audio: bytes) -> Waveform:
        """Decode a clip's file; raises `LimitExceeded` for a clip longer than any prompt can hold."""
        return read_audio(audio, max_duration_s=self._max_frames / self._worker.codec.spec.frame_rate_hz)
