"""Character timestamps in ElevenLabs' format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel


class CharacterAlignment(BaseModel):
    """Characters with their start and end times, in reading order."""

    characters: list[str] = []
    character_start_times_seconds: list[float] = []
    character_end_times_seconds: list[float] = []

    def add(self, text: str, start_s: float, end_s: float) -> None:
        """Spreads `text` evenly over the time from `start_s` to `end_s`."""
        for index, character in enumerate(text):
            edges_s = [start_s + (end_s - start_s) * n / len(text) for n in (index, index + 1)]
            self.characters.append(character)
            self.character_start_times_seconds.append(round(edges_s[0], 3))
            self.character_end_times_seconds.append(round(edges_s[1], 3))


def alignment_of(sentences: Sequence[Any]) -> CharacterAlignment:
    """Returns the alignment of timed sentences: by words where they are known, else spread over each sentence."""
    alignment = CharacterAlignment()
    end_s = 0.0
    for part in (part for sentence in sentences for part in (sentence.words or (sentence,))):
        if alignment.characters:
            alignment.add(" ", end_s, max(end_s, part.start_s))
        alignment.add(part.text, part.start_s, part.end_s)
        end_s = part.end_s
    return alignment


class CharacterTimedSpeech(BaseModel):
    """Response of `POST /v1/text-to-speech/{voice_id}/with-timestamps`."""

    audio_base64: str
    alignment: CharacterAlignment
    normalized_alignment: CharacterAlignment
