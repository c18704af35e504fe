"""Voice library: the checkpoint's built-in voices and the voices added by users."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from backend.codes import Codes
from backend.errors import BadVoice, NotSupported, OutputError, UnknownVoice, VoiceAdaptationError, VoiceExists
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.runtime.lru_cache import BoundedCache
from backend.storage.voices import VoiceRecord, VoiceStore, check_new_voice, normalized_name, printable
from backend.text.prompts.layout import PromptReference

if TYPE_CHECKING:
    import numpy as np

    from backend.pipeline.speech.synthesizer import Synthesizer
    from backend.pipeline.speech.voice_adaptation import VoiceAdapter
    from backend.runtime.request import ReferenceClip

log = logging.getLogger(__name__)
# Adapted voices kept in memory, about 20 MB each; others are loaded on demand.
LOADED_VOICES = 8


@dataclass(frozen=True, slots=True)
class Voice:
    """Public description of a voice. Built-in voices cannot be deleted."""

    id: str
    name: str
    is_builtin: bool
    description: str = ""
    license: str = ""
    created_at: str | None = None
    duration_s: float | None = None
    gender: str = ""
    accent: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BuiltInVoice:
    """A voice included in the checkpoint."""

    voice: Voice
    conditioning: VoiceConditioning


class VoiceLibrary:
    """Resolves voices by id or name. Stored voices are encoded again after the codec changes.

    With a `voice_adapter`, an added voice with a transcript is adapted to its sample when it is added. If another
    model is loaded later, the speaker encoder's embedding is used instead.
    """

    def __init__(
        self, store: VoiceStore, synthesizer: Synthesizer, codes_hash: str, built_in: Sequence[BuiltInVoice],
        voice_adapter: VoiceAdapter | None = None,
    ):  # fmt: skip
        self._store, self._synthesizer, self._codes_hash, self._adapter = store, synthesizer, codes_hash, voice_adapter
        self._built_in = tuple(built_in)
        self._loaded: BoundedCache[VoiceConditioning] = BoundedCache(LOADED_VOICES, LOADED_VOICES, lambda _: 1)

    def all(self) -> tuple[Voice, ...]:
        """Return the built-in voices in the checkpoint's order, then the added ones by name."""
        return (*(one.voice for one in self._built_in), *map(_as_voice, self._store.all()))

    def conditioning(self, name_or_id: str | None) -> VoiceConditioning:
        """Return a voice's conditioning; None is the first built-in voice, or the model's default without any.

        Raises `UnknownVoice`; an unknown voice is never replaced by another.
        """
        if name_or_id is None:
            return self._built_in[0].conditioning if self._built_in else VoiceConditioning()
        built_in = self._find_built_in(name_or_id)
        if built_in is not None:
            return built_in.conditioning
        record = self._store.find(name_or_id)
        if record is None:
            raise UnknownVoice(
                f"There is no voice '{printable(name_or_id)}'. List the voices to see what is available."
            )
        return self._adapted(record) or self._encoded(record)

    def add(self, name: str, clip: ReferenceClip, text: str, consent: bool) -> Voice:
        """Add a voice. Raises `BadVoice`, `VoiceExists`, `BadAudio` or `LimitExceeded` before writing anything."""
        check_new_voice(name, text, consent)
        if self._find_built_in(name) is not None or self._store.find(name) is not None:
            raise VoiceExists(f"There is a voice named '{printable(name)}' already. Choose another name.")
        sample, codes = self._synthesizer.codes_of_reference(clip.audio)
        codec = self._synthesizer.codec_worker.codec.spec.name
        stored = Codes(torch.from_numpy(codes)[None], codec)
        record = self._store.add(name, text, sample, stored, self._codes_hash, consent)
        self._adapt(record, codes)
        return _as_voice(record)

    def delete(self, name_or_id: str) -> None:
        """Remove an added voice. Raises `UnknownVoice`, and `BadVoice` for a built-in one."""
        if self._find_built_in(name_or_id) is not None:
            raise BadVoice(f"'{printable(name_or_id)}' is built in and cannot be deleted. Delete added voices only.")
        self._store.delete(name_or_id)

    def rename(self, name_or_id: str, name: str) -> Voice:
        """Rename an added voice. Raises `UnknownVoice`, `VoiceExists`, and `BadVoice` for a built-in one."""
        if self._find_built_in(name_or_id) is not None:
            raise BadVoice(f"'{printable(name_or_id)}' is built in and cannot be renamed. Rename added voices only.")
        if self._find_built_in(name) is not None:
            raise VoiceExists(f"There is a voice named '{printable(name)}' already. Choose another name.")
        return _as_voice(self._store.rename(name_or_id, name))

    def require_similarity(self, name_or_id: str) -> None:
        """Raise `UnknownVoice`, or `NotSupported` if the checkpoint cannot measure speaker similarity."""
        self.conditioning(name_or_id)
        if not self._synthesizer.reference.has_speaker_encoder:
            raise NotSupported(
                "The loaded checkpoint has no speaker encoder, so speaker similarity cannot be measured. "
                "Load one that has it, such as the built-in voice."
            )

    def similarity(self, name_or_id: str, codes: Codes) -> float:
        """Return the cosine similarity, -1...1, of a voice's speaker embedding and that of codes [1, K, T]."""
        reference = PromptReference("", codes.indices[0].cpu().numpy())
        actual = self._synthesizer.reference.conditioning_of((reference,)).conditioning
        # Both by the encoder: an adapted vector lies elsewhere in the embedding space.
        record = None if self._find_built_in(name_or_id) else self._store.find(name_or_id)
        expected = (self.conditioning(name_or_id) if record is None else self._encoded(record)).conditioning
        assert actual is not None and expected is not None, "the checkpoint has no speaker encoder"
        return torch.nn.functional.cosine_similarity(expected.flatten().float(), actual.flatten().float(), dim=0).item()

    def _find_built_in(self, name_or_id: str) -> BuiltInVoice | None:
        plain = normalized_name(name_or_id)
        for one in self._built_in:
            if plain in (normalized_name(one.voice.id), normalized_name(one.voice.name)):
                return one
        return None

    def _encoded(self, record: VoiceRecord) -> VoiceConditioning:
        """Return the conditioning of a stored voice without adaptation."""
        reference = PromptReference(record.text, self._codes(record).indices[0].numpy())
        return self._synthesizer.reference.conditioning_of((reference,))

    def _adapted(self, record: VoiceRecord) -> VoiceConditioning | None:
        """Return a stored voice's adapted conditioning; None if it was not adapted for this model."""
        if self._adapter is None:
            return None
        key = _adaptation_key(record, self._adapter)
        name = f"{record.id} {key}"
        voice = self._loaded.get(name)
        if voice is None:
            tensors = self._store.adaptation(record, key)
            voice = None if tensors is None else self._adapter.load(tensors, name, self._synthesizer.device)
            if voice is None:
                return None
            self._loaded.put(name, voice)
        return voice

    def _adapt(self, record: VoiceRecord, codes: np.ndarray) -> None:
        """Adapt a voice to its `codes` [K, T], if the model supports it, and store the result."""
        if self._adapter is None:
            return
        start = self._synthesizer.reference.conditioning_of((PromptReference(record.text, codes),)).conditioning
        assert start is not None, "voice adaptation needs a model with speaker embeddings"
        try:
            tensors = self._adapter.adapt(record.text, codes, start)
            self._store.keep_adaptation(record, tensors, _adaptation_key(record, self._adapter))
        except VoiceAdaptationError as error:
            log.info("Voice '%s' is stored without adaptation: %s", record.name, error)
            return
        except OutputError as error:
            log.warning("Voice '%s' is stored without adaptation: %s", record.name, error)
            return
        self._adapted(record)  # load it before the first request

    def _codes(self, record: VoiceRecord) -> Codes:
        if record.codes_hash == self._codes_hash:
            return self._store.codes(record)
        log.info("Encoding voice '%s' again: the codec has changed.", record.name)
        codes = self._synthesizer.reference.codes_of(self._store.sample(record))
        renewed = Codes(torch.from_numpy(codes)[None], self._synthesizer.codec_worker.codec.spec.name)
        self._store.replace_codes(record, renewed, self._codes_hash)
        return renewed


def _adaptation_key(record: VoiceRecord, adapter: VoiceAdapter) -> str:
    return f"{adapter.key} {record.codes_hash}"


def _as_voice(record: VoiceRecord) -> Voice:
    return Voice(record.id, record.name, False, created_at=record.created_at, duration_s=record.duration_s)
