"""The voices of an engine: those that come with the checkpoint, and those people added."""

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
from backend.storage.voices import VoiceRecord, VoiceStore, check_new_voice, plain_name, shown
from backend.text.prompts.layout import PromptReference

if TYPE_CHECKING:
    import numpy as np

    from backend.pipeline.speech.synthesizer import Synthesizer
    from backend.pipeline.speech.voice_adaptation import VoiceAdapter
    from backend.runtime.request import ReferenceClip

log = logging.getLogger(__name__)
# Fitted voices that are ready to speak, some 20 MB each; others are read when they are asked for.
OPENED_VOICES = 8


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice as callers see it. Built-in ones cannot be deleted."""

    id: str
    name: str
    is_builtin: bool
    description: str = ""
    license: str = ""
    created_at: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BuiltInVoice:
    """A voice of the checkpoint itself."""

    voice: Voice
    spoken: VoiceConditioning


class VoiceLibrary:
    """Finds voices by id or name. A stored voice's codes are made anew where the codec has changed since.

    With a `fitter` an added voice whose words are known is fitted to its sample when it is added; with another model
    loaded since, it is what the encoder hears.
    """

    def __init__(
        self, store: VoiceStore, speaker: Synthesizer, codes_hash: str, built_in: Sequence[BuiltInVoice],
        fitter: VoiceAdapter | None = None,
    ):  # fmt: skip
        self._store, self._speaker, self._codes_hash, self._fitter = store, speaker, codes_hash, fitter
        self._built_in = tuple(built_in)
        self._opened: BoundedCache[VoiceConditioning] = BoundedCache(OPENED_VOICES, OPENED_VOICES, lambda _: 1)

    def all(self) -> tuple[Voice, ...]:
        """Built-in voices in the checkpoint's order, then the others by name."""
        return (*(one.voice for one in self._built_in), *map(_as_voice, self._store.all()))

    def spoken(self, name_or_id: str | None) -> VoiceConditioning:
        """The voice to speak with; None takes the checkpoint's first, or its own choice if it has none.

        Raises `UnknownVoice`; a voice that is not there is never replaced by another.
        """
        if name_or_id is None:
            return self._built_in[0].spoken if self._built_in else VoiceConditioning()
        built_in = self._find_built_in(name_or_id)
        if built_in is not None:
            return built_in.spoken
        record = self._store.find(name_or_id)
        if record is None:
            raise UnknownVoice(f"There is no voice '{shown(name_or_id)}'. List the voices to see what there is.")
        return self._fitted(record) or self._encoded(record)

    def add(self, name: str, clip: ReferenceClip, text: str, consent: bool) -> Voice:
        """Keep a voice. Raises `BadVoice`, `VoiceExists`, `BadAudio` or `LimitExceeded` before anything is written."""
        check_new_voice(name, text, consent)
        if self._find_built_in(name) is not None or self._store.find(name) is not None:
            raise VoiceExists(f"There is a voice named '{shown(name)}' already. Choose another name.")
        sample, codes = self._speaker.codes_of_reference(clip.audio)
        codec = self._speaker.codec_worker.codec.spec.name
        kept = Codes(torch.from_numpy(codes)[None], codec)
        record = self._store.add(name, text, sample, kept, self._codes_hash, consent)
        self._fit(record, codes)
        return _as_voice(record)

    def delete(self, name_or_id: str) -> None:
        """Remove an added voice. Raises `UnknownVoice`, and `BadVoice` for a built-in one."""
        if self._find_built_in(name_or_id) is not None:
            raise BadVoice(f"'{shown(name_or_id)}' comes with the model and stays. Delete only voices that were added.")
        self._store.delete(name_or_id)

    def rename(self, name_or_id: str, name: str) -> Voice:
        """Call an added voice something else. Raises `UnknownVoice`, `VoiceExists`, `BadVoice` for a built-in one."""
        if self._find_built_in(name_or_id) is not None:
            raise BadVoice(f"'{shown(name_or_id)}' comes with the model and keeps its name. Rename added voices only.")
        if self._find_built_in(name) is not None:
            raise VoiceExists(f"There is a voice named '{shown(name)}' already. Choose another name.")
        return _as_voice(self._store.rename(name_or_id, name))

    def require_similarity(self, name_or_id: str) -> None:
        """Raise `UnknownVoice`, or `NotSupported` where takes cannot be compared with a voice."""
        self.spoken(name_or_id)
        if not self._speaker.reference.can_tell_speakers:
            raise NotSupported(
                "The loaded checkpoint comes without a speaker encoder, so takes cannot be compared with a voice. "
                "Load one that has it, such as the built-in voice."
            )

    def similarity(self, name_or_id: str, codes: Codes) -> float:
        """The cosine, -1...1, of a voice's vector and that of who speaks in codes [1, K, T]."""
        heard = self._speaker.reference.voice_of((PromptReference("", codes.indices[0].cpu().numpy()),)).conditioning
        # As the encoder hears both: a fitted vector is elsewhere in the same room.
        record = None if self._find_built_in(name_or_id) else self._store.find(name_or_id)
        wanted = (self.spoken(name_or_id) if record is None else self._encoded(record)).conditioning
        assert heard is not None and wanted is not None, "asked of a checkpoint without a speaker encoder"
        return torch.nn.functional.cosine_similarity(wanted.flatten().float(), heard.flatten().float(), dim=0).item()

    def _find_built_in(self, name_or_id: str) -> BuiltInVoice | None:
        wanted = plain_name(name_or_id)
        for one in self._built_in:
            if wanted in (plain_name(one.voice.id), plain_name(one.voice.name)):
                return one
        return None

    def _encoded(self, record: VoiceRecord) -> VoiceConditioning:
        """A stored voice as it is heard at once."""
        return self._speaker.reference.voice_of((PromptReference(record.text, self._codes(record).indices[0].numpy()),))

    def _fitted(self, record: VoiceRecord) -> VoiceConditioning | None:
        """A stored voice as it was fitted, if it was for this model."""
        if self._fitter is None:
            return None
        name = f"{record.id} {self._fitted_to(record, self._fitter)}"
        voice = self._opened.get(name)
        if voice is None:
            kept = self._store.fitted(record, self._fitted_to(record, self._fitter))
            voice = None if kept is None else self._fitter.spoken(kept, name, self._speaker.device)
            if voice is None:
                return None
            self._opened.put(name, voice)
        return voice

    def _fit(self, record: VoiceRecord, codes: np.ndarray) -> None:
        """Fit a voice to its `codes` [K, T], where that can be done."""
        if self._fitter is None:
            return
        start = self._speaker.reference.voice_of((PromptReference(record.text, codes),)).conditioning
        assert start is not None, "voices are fitted where they are vectors"
        try:
            kept = self._fitter.fit(record.text, codes, start)
            self._store.keep_fitted(record, kept, self._fitted_to(record, self._fitter))
        except VoiceAdaptationError as error:
            log.info("Voice '%s' is kept as it is heard: %s", record.name, error)
            return
        except OutputError as error:
            log.warning("Voice '%s' is kept as it is heard: %s", record.name, error)
            return
        self._fitted(record)  # opened before it is asked to speak

    @staticmethod
    def _fitted_to(record: VoiceRecord, fitter: VoiceAdapter) -> str:
        """What a fitted voice is good for."""
        return f"{fitter.key} {record.codes_hash}"

    def _codes(self, record: VoiceRecord) -> Codes:
        if record.codes_hash == self._codes_hash:
            return self._store.codes(record)
        log.info("Voice '%s' is encoded again: the codec has changed.", record.name)
        codes = self._speaker.reference.codes_of(self._store.sample(record))
        renewed = Codes(torch.from_numpy(codes)[None], self._speaker.codec_worker.codec.spec.name)
        self._store.replace_codes(record, renewed, self._codes_hash)
        return renewed


def _as_voice(record: VoiceRecord) -> Voice:
    return Voice(record.id, record.name, False, created_at=record.created_at, duration_s=record.duration_s)
