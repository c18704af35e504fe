"""What a stage of speaking is: a name for its time and one thing to do."""

from __future__ import annotations

from typing import Protocol, TypeVar

from backend.runtime.request import SpeechRequest
from backend.runtime.timeline import Timeline

Given = TypeVar("Given", contravariant=True)
Made = TypeVar("Made", covariant=True)


class Stage(Protocol[Given, Made]):
    """Reference makes a voice, semantic turns voice and text into frames, synthesis turns frames into sound.

    The last two return at once with a stream that their worker threads fill.
    """

    @property
    def name(self) -> str: ...

    def run(self, request: SpeechRequest, given: Given, timeline: Timeline) -> Made: ...
