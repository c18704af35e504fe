"""Sentence and word timestamps, computed from generated segments and the text pointer's path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backend.runtime.session import SpokenSegment
from backend.text.phonemes.word_spans import WordSpan
from backend.text.segmentation.sentences import split_sentences

# Returns the word spans of a text over its symbols; None if the model has no text pointer.
SpansOf = Callable[[str], list[WordSpan]]


class SoundSpan(NamedTuple):
    """Position of a segment in the finished audio: `n_samples` from `start_sample`, played `speed` times as fast.

    A frame is `hop_samples` long before the speed change; the first `lag_samples` of the segment are dropped.
    """

    start_sample: int
    n_samples: int
    speed: float
    hop_samples: int
    lag_samples: int


@dataclass(frozen=True, slots=True)
class TimedWord:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TimedSentence:
    """Text spoken from `start_s` to `end_s`. Without `words` it is one segment, possibly of several sentences."""

    text: str
    start_s: float
    end_s: float
    words: tuple[TimedWord, ...] = ()


def timed_sentences(
    segments: Sequence[SpokenSegment], sounds: Sequence[SoundSpan], rate_hz: int, spans_of: SpansOf | None
) -> tuple[TimedSentence, ...]:
    """Return the sentences in order, with word timestamps for segments that have a pointer path."""
    timed: list[TimedSentence] = []
    for segment, sound in zip(segments, sounds, strict=False):
        start_s, end_s = sound.start_sample / rate_hz, (sound.start_sample + sound.n_samples) / rate_hz
        words: list[TimedWord] = []
        if spans_of is not None and segment.path is not None:
            words = [_word(span, segment.path, sound, rate_hz) for span in spans_of(segment.text)]
        timed += _sentences(segment.text, start_s, end_s, words)
    return tuple(timed)


def _word(span: WordSpan, path: np.ndarray, sound: SoundSpan, rate_hz: int) -> TimedWord:
    # Path value 0 is the silence before the first symbol.
    first, last = np.searchsorted(path, (span.start + 1, span.end + 1))
    edges = [(frame * sound.hop_samples - sound.lag_samples) / sound.speed for frame in (first, last)]
    start, end = (sound.start_sample + min(max(edge, 0.0), sound.n_samples) for edge in edges)
    return TimedWord(span.word, start / rate_hz, end / rate_hz)


def _sentences(text: str, start_s: float, end_s: float, words: list[TimedWord]) -> list[TimedSentence]:
    """Split one segment into sentences; each ends where the first word of the next begins."""
    pieces = [piece for piece in split_sentences(text) if any(c.isalnum() for c in piece)]
    counts = [sum(any(c.isalnum() for c in word) for word in piece.split()) for piece in pieces]
    if not words or len(pieces) < 2 or sum(counts) != len(words):
        return [TimedSentence(text.strip(), start_s, end_s, tuple(words))]
    timed, at = [], 0
    for piece, count in zip(pieces, counts, strict=True):
        own = tuple(words[at : at + count])
        at += count
        until_s = words[at].start_s if at < len(words) else end_s
        timed.append(TimedSentence(piece.strip(), start_s, until_s, own))
        start_s = until_s
    return timed
