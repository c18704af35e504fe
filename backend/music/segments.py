"""A performed score in segments of a few bars, which can be rendered one after another and added up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend.music.score import Score, TempoChange

# The first segment is short, so that sound begins early; later ones are longer, because each costs a tail.
TARGET_S = (2.0, 4.0, 8.0)
TAIL_S = 2.5


@dataclass(frozen=True)
class ScoreSegment:
    """The notes that begin within some bars. `start_s`: where the segment lies; `tail_s`: how long it rings on."""

    score: Score
    start_s: float
    tail_s: float


def segments_of(score: Score, target_s: Sequence[float] = TARGET_S) -> list[ScoreSegment]:
    """Cuts a performed score at bar lines; each note is in exactly one segment.

    `target_s`: shortest duration of the first segment, of the second, and so on; the last value holds for the rest.
    """
    bar = score.meter.bar_quarters
    bounds = [0]
    while bounds[-1] < score.n_bars:
        wanted_s = target_s[min(len(bounds) - 1, len(target_s) - 1)]
        end, start_s = bounds[-1] + 1, score.time_s(bounds[-1] * bar)
        while end < score.n_bars and score.time_s(end * bar) - start_s < wanted_s:
            end += 1
        bounds.append(end)
    return [_segment(score, first, end) for first, end in itertools.pairwise(bounds)]


def fullest_segment(segments: list[ScoreSegment]) -> ScoreSegment:
    """The segment in which most parts play, and of those the loudest: what levels are set by."""

    def fullness(segment: ScoreSegment) -> tuple[int, float]:
        parts = segment.score.parts
        seconds = max(segment.score.duration_s, 0.1)
        loudness = sum(note.velocity**2 * note.duration for part in parts for note in part.notes)
        return sum(bool(part.notes) for part in parts), loudness / seconds

    return max(segments, key=fullness)


def _segment(score: Score, first_bar: int, end_bar: int) -> ScoreSegment:
    bar = score.meter.bar_quarters
    start, end = first_bar * bar, end_bar * bar
    # Notes played a little before the first bar line or after the last one belong to the outermost segments.
    low, high = (-float("inf") if first_bar == 0 else start), (float("inf") if end_bar == score.n_bars else end)
    parts = tuple(
        replace(
            part,
            notes=tuple(replace(n, start=max(0.0, n.start - start)) for n in part.notes if low <= n.start < high),
        )
        for part in score.parts
    )
    tempo_bpm = score.tempo_bpm
    changes = []
    for change in score.tempo_changes:
        if change.start <= start:
            tempo_bpm = change.tempo_bpm
        else:
            changes.append(TempoChange(change.start - start, change.tempo_bpm))
    cut = replace(score, parts=parts, tempo_bpm=tempo_bpm, tempo_changes=tuple(changes), n_bars=end_bar - first_bar)
    last_s = max((cut.time_s(note.end) for part in parts for note in part.notes), default=0.0)
    return ScoreSegment(cut, score.time_s(start), max(0.0, last_s - cut.duration_s) + TAIL_S)
