"""The spoken sentences of a job as one sound file with chapters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backend.audio.joins import OVERLAP_S, fade_edges
from backend.audio.writers import open_writer
from backend.errors import BadAudio
from backend.store.job_records import JobRecord, SentenceRecord
from backend.store.jobs import JobStore
from backend.store.sounds import require_room

BOOK_FORMATS = ("wav", "flac")
LOOK_EVERY = 16


class Book(NamedTuple):
    """A finished file: its size, its length, and where each chapter begins."""

    size_bytes: int
    duration_s: float
    starts_s: tuple[float, ...]


def write_book(store: JobStore, job: JobRecord, target: Path, is_wanted: Callable[[], bool]) -> Book | None:
    """Write the chosen takes of all sentences into `target`; None if it is not wanted any more.

    Sentences rise from and fall to silence on their own and silence stands between them, so that one spoken again
    changes no sample but its own. Those whose sound is gone or damaged are set to be spoken again. Raises `BadAudio`
    if there is nothing to write, and `OSError`.
    """
    sentences = [sentence for sentence in store.sentences(job.id) if sentence.heard.state != "skipped"]
    if not sentences:
        raise BadAudio("Nothing in the text could be spoken with this voice. Try another voice or text.")
    lost = [sentence.index for sentence in sentences if not store.sounds.has(sentence.heard.sound)]
    if lost:
        _lose(store, job, lost)
        return None
    try:
        first = store.sounds.read(sentences[0].heard.sound)
    except BadAudio:
        _lose(store, job, [sentences[0].index])
        return None
    rate_hz, n_channels = first.rate_hz, first.n_channels
    starts, n_samples = layout(sentences, rate_hz, len(store.chapters(job.id)))
    require_room(target.parent, store.sounds.reserve_bytes)
    writer = open_writer(job.format, rate_hz, n_channels, n_samples)
    with target.open("wb") as file:
        for number, sentence in enumerate(sentences):
            if number % LOOK_EVERY == 0 and not is_wanted():
                return None
            try:
                sound = store.sounds.read(sentence.heard.sound)
            except BadAudio:
                _lose(store, job, [sentence.index])
                return None
            if (sound.rate_hz, sound.n_channels) != (rate_hz, n_channels):
                raise BadAudio("Some sentences were spoken by a model of another sampling rate. Start the job anew.")
            file.write(writer.push(fade_edges(sound, OVERLAP_S, "equal_power").samples))
            file.write(writer.push(np.zeros((n_channels, round(sentence.pause_s * rate_hz)), np.float32)))
        file.write(writer.finish())
        file.flush()
        os.fsync(file.fileno())
        size_bytes = file.tell()
    return Book(size_bytes, n_samples / rate_hz, tuple(start / rate_hz for start in starts))


def layout(sentences: list[SentenceRecord], rate_hz: int, n_chapters: int) -> tuple[list[int], int]:
    """The sample at which each chapter begins, and how many there are in all."""
    starts: list[int | None] = [None] * n_chapters
    place = 0
    for sentence in sentences:
        if starts[sentence.chapter] is None:
            starts[sentence.chapter] = place
        place += round(sentence.heard.duration_s * rate_hz) + round(sentence.pause_s * rate_hz)
    # A chapter of which nothing could be spoken begins where the next one does.
    filled, following = [], place
    for start in reversed(starts):
        following = following if start is None else start
        filled.append(following)
    return filled[::-1], place


def _lose(store: JobStore, job: JobRecord, lost: list[int]) -> None:
    store.lose(job.id, lost)
    store.set_state(job.id, "waiting", only_from=("writing",))
