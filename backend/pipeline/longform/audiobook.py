"""The spoken sentences of a job as one sound file with chapters."""

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
LOOK_EVERY = 16


class Book(NamedTuple):
    """A finished file: its size, its length, and where each chapter begins."""

    size_bytes: int
    duration_s: float
    starts_s: tuple[float, ...]


class _Unwanted(Exception):
    """The job was told something else while its file was being written."""


class _Lost(Exception):
    """The sound of sentence number `args[0]` is gone or damaged."""


def write_book(store: JobStore, job: JobRecord, target: Path, is_wanted: Callable[[], bool]) -> Book | None:
    """Write the chosen takes of all sentences into `target`; None if it is not wanted any more.

    Sentences rise from and fall to silence on their own and silence stands between them, so that one spoken again
    changes no sample but its own. One whose sound is gone or damaged is set to be spoken again, and the job to wait.
    Raises `BadAudio` if there is nothing to write, `OutputError` and `OSError`.
    """
    sentences = [sentence for sentence in store.sentences(job.id) if sentence.heard.state != "skipped"]
    if not sentences:
        raise BadAudio("Nothing in the text could be spoken with this voice. Try another voice or text.")
    require_room(target.parent, store.sounds.reserve_bytes)
    try:
        first = _sound(store, sentences[0])
        titles = [chapter.title for chapter in store.chapters(job.id)]
        starts, n_samples = layout(sentences, first.rate_hz, len(titles))
        pieces = _pieces(store, sentences, first, is_wanted)
        if job.format == "m4b":
            heard = sorted({sentence.chapter for sentence in sentences})
            chapters = [ChapterMark(titles[number], starts[number] / first.rate_hz) for number in heard]
            write_audiobook(target, pieces, first.rate_hz, chapters, title=job.title, author=job.author)
        else:
            _write_plain(target, pieces, job.format, first, n_samples)
    except _Unwanted:
        return None
    except _Lost as lost:
        store.lose(job.id, lost.args)
        store.set_state(job.id, "waiting", only_from=("writing",))
        return None
    size_bytes = target.stat().st_size
    return Book(size_bytes, n_samples / first.rate_hz, tuple(start / first.rate_hz for start in starts))


def layout(sentences: list[SentenceRecord], rate_hz: int, n_chapters: int) -> tuple[list[int], int]:
    """The sample at which each chapter begins, and how many there are in all.

    A chapter of which nothing could be spoken begins where the next one does.
    """
    starts: list[int | None] = [None] * n_chapters
    place = 0
    for sentence in sentences:
        if starts[sentence.chapter] is None:
            starts[sentence.chapter] = place
        place += round(sentence.heard.duration_s * rate_hz) + round(sentence.pause_s * rate_hz)
    filled, following = [], place
    for start in reversed(starts):
        following = following if start is None else start
        filled.append(following)
    return filled[::-1], place


def _pieces(
    store: JobStore, sentences: list[SentenceRecord], first: Waveform, is_wanted: Callable[[], bool]
) -> Iterator[np.ndarray]:
    """Every sentence and the silence after it, float32 [C, N]."""
    for number, sentence in enumerate(sentences):
        if number % LOOK_EVERY == 0 and not is_wanted():
            raise _Unwanted
        sound = _sound(store, sentence)
        if (sound.rate_hz, sound.n_channels) != (first.rate_hz, first.n_channels):
            raise BadAudio("Some sentences were spoken by a model of another sampling rate. Start the job anew.")
        yield fade_edges(sound, OVERLAP_S, "equal_power").samples
        yield np.zeros((first.n_channels, round(sentence.pause_s * first.rate_hz)), np.float32)


def _sound(store: JobStore, sentence: SentenceRecord) -> Waveform:
    try:
        return store.sounds.read(sentence.heard.sound)
    except BadAudio:
        raise _Lost(sentence.index) from None


def _write_plain(target: Path, pieces: Iterator[np.ndarray], format: str, like: Waveform, n_samples: int) -> None:
    writer = open_writer(format, like.rate_hz, like.n_channels, n_samples)
    with target.open("wb") as file:
        for piece in pieces:
            file.write(writer.push(piece))
        file.write(writer.finish())
        file.flush()
        os.fsync(file.fileno())
