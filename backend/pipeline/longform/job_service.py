"""Jobs for long texts: create, synthesize in the background, review sentence by sentence."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import BadRequest, JobConflict, PhonogramError, UnknownJob
from backend.pipeline.longform.audiobook import BOOK_FORMATS
from backend.runtime.lru_cache import content_key
from backend.runtime.request import SpeechRequest
from backend.storage.job_models import (
    RUNNABLE,
    ChapterRecord,
    JobRecord,
    NewJob,
    NewSentence,
    SentenceRecord,
    SpeechParams,
    TakeRecord,
)
from backend.storage.jobs import DATABASE, JobStore
from backend.text.documents.document import Document
from backend.text.documents.reader import DocumentKind, read_document
from backend.text.documents.sentences import chapter_titles, sentences_of

if TYPE_CHECKING:
    from backend.pipeline.longform.job_runner import JobRunner, SentenceEngine

log = logging.getLogger(__name__)

MAX_TITLE_CHARS = 300
MAX_NOTES = 50
MAX_TAKE_CHARS = 1000
SHOWN_CHARS = 60
# Twelve hexadecimal digits: every JSON parser represents such integers exactly.
SEED_CHARS = 12


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits on the number, text length and disk use of jobs. `n_rows`: sentences synthesized at a time."""

    max_chars: int
    max_jobs: int
    quota_bytes: int
    n_rows: int


class JobService:
    """Creates, controls and reads jobs. The database is opened by the first job, or by `start` if it exists."""

    def __init__(self, folder: Path, get_engine: Callable[[], SentenceEngine], limits: JobLimits):
        self._folder, self._get_engine, self.limits = folder, get_engine, limits
        self._store: JobStore | None = None
        self._runner: JobRunner | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Resume existing jobs."""
        try:
            self._existing_store()
        except PhonogramError as error:
            # The server starts without jobs; requests for them raise this error again.
            log.error("The jobs cannot be opened: %s", error)

    def close(self) -> None:
        """Stop; the jobs resume at the next start. Idempotent."""
        with self._lock:
            self._is_closed = True
            if self._runner is not None:
                self._runner.close()
            if self._store is not None:
                self._store.close()

    def create(
        self, content: bytes, kind: DocumentKind = "auto", *, format: str = "m4b", delivery: SpeechParams = SpeechParams(),  # noqa: B008
        seed: int | None = None, title: str = "", author: str = "", name: str = "", is_new: bool = True,
    ) -> JobRecord:  # fmt: skip
        """Create a job from a document; it is durable once this returns.

        `name` is the fallback title. With `is_new` False, an existing job with the same text and parameters is
        returned instead. Raises `BadDocument`, `BadText`, `LimitExceeded`, `BadRequest`, `UnknownVoice`, `JobConflict`
        and `StorageFull`.
        """
        if format not in BOOK_FORMATS:
            raise BadRequest(f"format is {format!r}; expected one of {', '.join(BOOK_FORMATS)}.")
        SpeechRequest(text="x", seed=seed, **asdict(delivery))  # check the bounds now
        document = read_document(content, kind, self.limits.max_chars)
        seed = secrets.randbits(32) if seed is None else seed
        store = self._open()[0]
        voice_key = self._get_engine().voice_key(delivery.voice)
        source = content_key(content, kind, format, seed, repr(delivery), title, author)
        existing = None if is_new else store.find_by_source(source)
        if existing is not None:
            return existing
        if len(store.jobs()) >= self.limits.max_jobs:
            raise JobConflict(f"There are {self.limits.max_jobs} jobs, the most there may be (MAX_JOBS). Delete some.")
        sentences = _sentences(document, seed)
        new = NewJob(
            title=(title or document.title or name or sentences[0].text[:SHOWN_CHARS])[:MAX_TITLE_CHARS],
            author=(author or document.author)[:MAX_TITLE_CHARS], format=format, seed=seed, delivery=delivery,
            voice_key=voice_key, source=source,
            chapters=tuple(one[:MAX_TITLE_CHARS] for one in chapter_titles(document)), sentences=sentences,
            left_out=_shortened(document.skipped),
        )  # fmt: skip
        job = store.create(new)
        self._wake()
        return job

    def jobs(self) -> list[JobRecord]:
        """Return all jobs, newest first."""
        store = self._existing_store()
        return [] if store is None else [self._with_unsaved_reason(job) for job in store.jobs()]

    def job(self, job: str) -> JobRecord:
        """Return a job. Raises `UnknownJob`, as all methods below do."""
        return self._with_unsaved_reason(self._open_store.job(job))

    def chapters(self, job: str) -> list[ChapterRecord]:
        return self._open_store.chapters(job)

    def sentences(self, job: str, first: int = 0, n_most: int = 10**9, since: int = 0) -> list[SentenceRecord]:
        """Return sentences from number `first` on that changed after revision `since`."""
        self._open_store.job(job)
        return self._open_store.sentences(job, first, n_most, since)

    def take(self, job: str, sentence: int, take: int | None = None) -> TakeRecord:
        """Return a take by number, or the chosen one."""
        self._open_store.job(job)
        return self._open_store.take(job, sentence, take)

    def speaking(self, job: str) -> frozenset[tuple[int, int]]:
        """Return the (sentence, take) pairs that are in progress."""
        return frozenset() if self._runner is None else self._runner.speaking(job)

    def pause(self, job: str) -> JobRecord:
        """Pause after the sentences in progress. Raises `JobConflict` for a finished job."""
        return self._change(job, "paused", RUNNABLE, "Paused on request.", already=("paused",))

    def resume(self, job: str) -> JobRecord:
        """Resume with the current voice and model. Raises `JobConflict` for a finished job."""
        record = self._open_store.job(job)
        if record.state in ("paused", "failed"):
            voice_key = self._get_engine().voice_key(record.delivery.voice)
            if voice_key != record.voice_key:
                self._open_store.set_voice_key(job, voice_key)
        if self._runner is not None:
            self._runner.unsaved_reasons.pop(job, None)
        return self._change(job, "waiting", ("paused", "failed"), already=RUNNABLE)

    def cancel(self, job: str) -> JobRecord:
        """Stop at once and permanently; finished takes stay until the job is deleted."""
        record = self._change(job, "cancelled", (*RUNNABLE, "paused", "failed"), already=("cancelled",))
        if self._runner is not None:
            self._runner.cancel_takes(job)
        return record

    def delete(self, job: str) -> None:
        """Delete a job and all audio that no other job uses."""
        self._open_store.delete(job)
        if self._runner is not None:
            self._runner.unsaved_reasons.pop(job, None)
            self._runner.cancel_takes(job)
        self._wake()

    def file(self, job: str) -> Path:
        """Return the path of the finished audio file. Raises `JobConflict` until it exists."""
        record = self.job(job)
        if record.state != "done":
            progress = f"{record.n_done} of {record.n_sentences} sentences are done"
            raise JobConflict(f"The job is {record.state}, so it has no file yet: {progress}. Follow its events.")
        return self._open_store.folder_of(job) / record.file

    def sound(self, job: str, sentence: int, take: int | None = None) -> Path:
        """Return the path of a take's FLAC file. Raises `JobConflict` until the take is done."""
        record = self.take(job, sentence, take)
        if record.state != "done" or not self._open_store.sounds.has(record.sound):
            raise JobConflict(f"Take {record.take} of sentence {sentence} is {record.state}; wait until it is done.")
        return self._open_store.sounds.path(record.sound)

    def new_take(self, job: str, sentence: int, seed: int | None = None, text: str | None = None) -> TakeRecord:
        """Queue another take of a sentence, with another seed or text, ahead of all other sentences."""
        if self._open_store.job(job).state == "cancelled":
            raise JobConflict("The job was cancelled, so no takes can be added. Create it again.")
        takes = self._open_store.sentence(job, sentence).takes
        text = takes[0].text if text is None else " ".join(text.split())
        if not 0 < len(text) <= MAX_TAKE_CHARS:
            raise BadRequest(f"The text has {len(text)} characters; expected 1 to {MAX_TAKE_CHARS}. Change it.")
        if seed is None:
            seed = int(content_key(takes[0].seed, len(takes))[:SEED_CHARS], 16)
        take = self._open_store.add_take(job, sentence, text, seed)
        self._wake()
        return take

    def choose(self, job: str, sentence: int, take: int) -> SentenceRecord:
        """Select the take to use for a sentence; a finished file is written again."""
        if self._open_store.job(job).state == "cancelled":
            raise JobConflict("The job was cancelled, so its file is not written. Create it again.")
        record = self._open_store.choose(job, sentence, take)
        self._wake()
        return record

    @property
    def _open_store(self) -> JobStore:
        store = self._existing_store()
        if store is None:
            raise UnknownJob("There is no such job. List the jobs to see what is available.")
        return store

    def _existing_store(self) -> JobStore | None:
        """Open the database if it exists."""
        if self._store is None and (self._folder / DATABASE).is_file():
            self._open()
        return self._store

    def _open(self) -> tuple[JobStore, JobRunner]:
        # Imported late: the runner imports torch, which a server without jobs does not need yet.
        from backend.pipeline.longform.job_runner import JobRunner

        with self._lock:
            if self._is_closed:
                raise JobConflict("The server is shutting down. Try again when it is back.")
            if self._store is None or self._runner is None:
                self._store = JobStore(self._folder)
                self._runner = JobRunner(
                    self._store, self._get_engine, n_rows=self.limits.n_rows, quota_bytes=self.limits.quota_bytes
                )
                self._runner.start()
            return self._store, self._runner

    def _change(
        self, job: str, state: str, only_from: tuple[str, ...], reason: str = "", *, already: tuple[str, ...]
    ) -> JobRecord:
        changed = self._open_store.set_state(job, state, reason, only_from=only_from)  # type: ignore[arg-type]
        record = self.job(job)
        if not changed and record.state not in already:
            raise JobConflict(f"The job is {record.state}, so it cannot become {state}. Create it again.")
        self._wake()
        return record

    def _with_unsaved_reason(self, job: JobRecord) -> JobRecord:
        """Return the job as paused if its reason could not be written to disk."""
        reason = self._runner.unsaved_reasons.get(job.id) if self._runner is not None else None
        return job if reason is None else replace(job, state="paused", reason=reason)

    def _wake(self) -> None:
        if self._runner is not None:
            self._runner.wake()


def _shortened(notes: Sequence[str]) -> tuple[str, ...]:
    """Return the first notes, and how many more there are."""
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return *notes[: MAX_NOTES - 1], f"There are {len(notes) - MAX_NOTES + 1} more such notes."


def _sentences(document: Document, seed: int) -> tuple[NewSentence, ...]:
    """Return sentences with seeds derived from their text, so that editing one keeps the audio of all others."""
    seen: Counter[str] = Counter()
    sentences = []
    for one in sentences_of(document):
        number = int(content_key(seed, one.text, seen[one.text])[:SEED_CHARS], 16)
        sentences.append(NewSentence(one.chapter, one.text, number, one.pause_s))
        seen[one.text] += 1
    return tuple(sentences)
