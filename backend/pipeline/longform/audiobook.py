"""Write the synthesized sentences of a job to one audio file with chapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backend.audio.audiobook import ChapterMark, write_audiobook
from backend.audio.crossfade import OVERLAP_S, fade_edges
from backend.audio.waveform import Waveform
from backend.audio.writers import open_writer
from backend.errors import BadAudio
from backend.storage.job_models import JobRecord, SentenceRecord
from backend.storage.jobs import JobStore
from backend.storage.take_files import require_room

BOOK_FORMATS = ("m4b", "mp3", "opus", "wav", "flac")
CHECK_EVERY = 16


class Book(NamedTuple):
    """Size, duration and chapter start times of a finished file."""

    size_bytes: int
    duration_s: float
    starts_s: tuple[float, ...]


class _Interrupted(Exception):
    """The job's state changed while its file was being written."""


class _AudioMissing(Exception):
    """The audio of sentence number `args[0]` is missing or damaged."""


def write_book(store: JobStore, job: JobRecord, target: Path, is_wanted: Callable[[], bool]) -> Book | None:
    """Write the chosen takes of all sentences to `target`; return None if interrupted.

    Each sentence has its own fades and is followed by silence, so a new take changes only its own samples. A sentence
    whose audio is missing or damaged is queued again and the job goes back to `waiting`. Raises `BadAudio` if there is
    nothing to write, `OutputError` and `OSError`.
    """
    sentences = [sentence for sentence in store.sentences(job.id) if sentence.chosen_take.state != "skipped"]
    if not sentences:
        raise BadAudio("No sentence of the text could be synthesized. Try another voice or text.")
    require_room(target.parent, store.sounds.reserve_bytes)
    try:
        first = _sound(store, sentences[0])
        titles = [chapter.title for chapter in store.chapters(job.id)]
        starts, n_samples = layout(sentences, first.rate_hz, len(titles))
        pieces = _pieces(store, sentences, first, is_wanted)
        if job.format == "m4b":
            numbers = sorted({sentence.chapter for sentence in sentences})
            chapters = [ChapterMark(titles[number], starts[number] / first.rate_hz) for number in numbers]
            write_audiobook(target, pieces, first.rate_hz, chapters, title=job.title, author=job.author)
        else:
            _write_plain(target, pieces, job.format, first, n_samples)
    except _Interrupted:
        return None
    except _AudioMissing as missing:
        store.requeue(job.id, missing.args)
        store.set_state(job.id, "waiting", only_from=("writing",))
        return None
    size_bytes = target.stat().st_size
    return Book(size_bytes, n_samples / first.rate_hz, tuple(start / first.rate_hz for start in starts))


def layout(sentences: list[SentenceRecord], rate_hz: int, n_chapters: int) -> tuple[list[int], int]:
    """Return each chapter's first sample and the total number of samples.

    A chapter without audio begins where the next one does.
    """
    starts: list[int | None] = [None] * n_chapters
    place = 0
    for sentence in sentences:
        if starts[sentence.chapter] is None:
            starts[sentence.chapter] = place
        place += round(sentence.chosen_take.duration_s * rate_hz) + round(sentence.pause_s * rate_hz)
    filled, following = [], place
    for start in reversed(starts):
        following = following if start is None else start
        filled.append(following)
    return filled[::-1], place


def _pieces(
    store: JobStore, sentences: list[SentenceRecord], first: Waveform, is_wanted: Callable[[], bool]
) -> Iterator[np.ndarray]:
    """Yield every sentence and the silence after it, float32 [C, N]."""
    for number, sentence in enumerate(sentences):
        if number % CHECK_EVERY == 0 and not is_wanted():
            raise _Interrupted
        sound = _sound(store, sentence)
        if (sound.rate_hz, sound.n_channels) != (first.rate_hz, first.n_channels):
            raise BadAudio("Sentences have different sample rates or channels. Create the job again.")
        yield fade_edges(sound, OVERLAP_S, "equal_power").samples
        yield np.zeros((first.n_channels, round(sentence.pause_s * first.rate_hz)), np.float32)


def _sound(store: JobStore, sentence: SentenceRecord) -> Waveform:
    try:
        return store.sounds.read(sentence.chosen_take.sound)
    except BadAudio:
        raise _AudioMissing(sentence.index) from None


def _write_plain(target: Path, pieces: Iterator[np.ndarray], format: str, like: Waveform, n_samples: int) -> None:
    writer = open_writer(format, like.rate_hz, like.n_channels, n_samples)
    with target.open("wb") as file:
        for piece in pieces:
            file.write(writer.push(piece))
        file.write(writer.finish())
        file.flush()
        os.fsync(file.fileno())
