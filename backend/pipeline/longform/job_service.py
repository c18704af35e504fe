"""Long texts as jobs: accepted, spoken in the background, reviewed sentence by sentence."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable
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
MAX_TAKE_CHARS = 1000
SHOWN_CHARS = 60
# Twelve hexadecimal digits: numbers that every reader of JSON keeps exactly.
SEED_CHARS = 12


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How much jobs may be and hold. `n_rows`: sentences spoken at a time."""

    max_chars: int
    max_jobs: int
    quota_bytes: int
    n_rows: int


class JobService:
    """Everything that can be done with jobs. Nothing is opened before the first job, or `start` finds some."""

    def __init__(self, folder: Path, engine_of: Callable[[], SentenceEngine], limits: JobLimits):
        self._folder, self._engine_of, self.limits = folder, engine_of, limits
        self._store: JobStore | None = None
        self._runner: JobRunner | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Go on with the jobs of before, if there are any."""
        try:
            self._found()
        except PhonogramError as error:
            # A server without jobs is better than none; whoever asks for them is told.
            log.error("The jobs cannot be opened: %s", error)

    def close(self) -> None:
        """Stop; the jobs go on at the next start. Twice is fine."""
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
        """Accept a document. Once this returns, the job survives whatever happens.

        `name` is the title where neither caller nor document has one. `is_new` False: a job of the same text spoken
        the same way is returned instead, if there is one. Raises `BadDocument`, `BadText`, `LimitExceeded`,
        `BadRequest`, `UnknownVoice`, `JobConflict` and `StorageFull`.
        """
        if format not in BOOK_FORMATS:
            raise BadRequest(f"format is {format!r}; expected one of {', '.join(BOOK_FORMATS)}.")
        SpeechRequest(text="x", seed=seed, **asdict(delivery))  # what is out of bounds is told now
        document = read_document(content, kind, self.limits.max_chars)
        seed = secrets.randbits(32) if seed is None else seed
        store = self._open()[0]
        voice_key = self._engine_of().voice_key(delivery.voice)
        source = content_key(content, kind, format, seed, repr(delivery), title, author)
        known = None if is_new else store.of_source(source)
        if known is not None:
            return known
        if len(store.jobs()) >= self.limits.max_jobs:
            raise JobConflict(f"There are {self.limits.max_jobs} jobs, the most there may be (MAX_JOBS). Delete some.")
        sentences = _sentences(document, seed)
        new = NewJob(
            title=(title or document.title or name or sentences[0].text[:SHOWN_CHARS])[:MAX_TITLE_CHARS],
            author=(author or document.author)[:MAX_TITLE_CHARS], format=format, seed=seed, delivery=delivery,
            voice_key=voice_key, source=source,
            chapters=tuple(one[:MAX_TITLE_CHARS] for one in chapter_titles(document)), sentences=sentences,
        )  # fmt: skip
        job = store.create(new)
        self._wake()
        return job

    def jobs(self) -> list[JobRecord]:
        """All jobs, newest first."""
        store = self._found()
        return [] if store is None else [self._seen(job) for job in store.jobs()]

    def job(self, job: str) -> JobRecord:
        """Raises `UnknownJob`, as everything below does."""
        return self._seen(self._kept.job(job))

    def chapters(self, job: str) -> list[ChapterRecord]:
        return self._kept.chapters(job)

    def sentences(self, job: str, first: int = 0, n_most: int = 10**9, since: int = 0) -> list[SentenceRecord]:
        """Sentences from number `first` on; only those that changed after revision `since`."""
        self._kept.job(job)
        return self._kept.sentences(job, first, n_most, since)

    def take(self, job: str, sentence: int, take: int | None = None) -> TakeRecord:
        """A take; the chosen one without a number."""
        self._kept.job(job)
        return self._kept.take(job, sentence, take)

    def speaking(self, job: str) -> frozenset[tuple[int, int]]:
        """The sentences and takes that are being spoken right now."""
        return frozenset() if self._runner is None else self._runner.speaking(job)

    def pause(self, job: str) -> JobRecord:
        """Stop after the sentences that are being spoken. Raises `JobConflict` for a job that has ended."""
        return self._change(job, "paused", RUNNABLE, "Paused on request.", already=("paused",))

    def resume(self, job: str) -> JobRecord:
        """Go on where it stopped, with the voice as it is now. Raises `JobConflict` for one that ended."""
        found = self._kept.job(job)
        if found.state in ("paused", "failed"):
            voice_key = self._engine_of().voice_key(found.delivery.voice)
            if voice_key != found.voice_key:
                self._kept.set_voice_key(job, voice_key)
        if self._runner is not None:
            self._runner.trouble.pop(job, None)
        return self._change(job, "waiting", ("paused", "failed"), already=RUNNABLE)

    def cancel(self, job: str) -> JobRecord:
        """Stop at once and for good; what was spoken stays until the job is deleted."""
        found = self._change(job, "cancelled", (*RUNNABLE, "paused", "failed"), already=("cancelled",))
        if self._runner is not None:
            self._runner.stop_speaking(job)
        return found

    def delete(self, job: str) -> None:
        """Remove a job and all that was made for it alone."""
        self._kept.delete(job)
        if self._runner is not None:
            self._runner.trouble.pop(job, None)
            self._runner.stop_speaking(job)
        self._wake()

    def file(self, job: str) -> Path:
        """The finished sound file. Raises `JobConflict` while there is none."""
        found = self.job(job)
        if found.state != "done":
            said = f"{found.n_done} of {found.n_sentences} sentences are spoken"
            raise JobConflict(f"The job is {found.state}, so it has no file yet: {said}. Follow its events.")
        return self._kept.folder_of(job) / found.file

    def sound(self, job: str, sentence: int, take: int | None = None) -> Path:
        """The FLAC file of a take. Raises `JobConflict` while it is not spoken."""
        found = self.take(job, sentence, take)
        if found.state != "done" or not self._kept.sounds.has(found.sound):
            raise JobConflict(f"Take {found.take} of sentence {sentence} is {found.state}; wait until it is done.")
        return self._kept.sounds.path(found.sound)

    def new_take(self, job: str, sentence: int, seed: int | None = None, text: str | None = None) -> TakeRecord:
        """Speak a sentence once more, from another seed or with other words; soon, and before all other sentences."""
        found = self._kept.job(job)
        if found.state == "cancelled":
            raise JobConflict("The job was cancelled, so nothing more is spoken. Create it again.")
        takes = self._kept.sentence(job, sentence).takes
        text = takes[0].text if text is None else " ".join(text.split())
        if not 0 < len(text) <= MAX_TAKE_CHARS:
            raise BadRequest(f"The text has {len(text)} characters; expected 1 to {MAX_TAKE_CHARS}. Change it.")
        if seed is None:
            seed = int(content_key(takes[0].seed, len(takes))[:SEED_CHARS], 16)
        take = self._kept.add_take(job, sentence, text, seed)
        self._wake()
        return take

    def choose(self, job: str, sentence: int, take: int) -> SentenceRecord:
        """Let another take be heard; an older one again undoes that. A finished file is written anew."""
        if self._kept.job(job).state == "cancelled":
            raise JobConflict("The job was cancelled, so its file is not written. Create it again.")
        found = self._kept.choose(job, sentence, take)
        self._wake()
        return found

    @property
    def _kept(self) -> JobStore:
        store = self._found()
        if store is None:
            raise UnknownJob("There is no such job. List the jobs to see what there is.")
        return store

    def _found(self) -> JobStore | None:
        """The jobs that are there; None if there never were any."""
        if self._store is None and (self._folder / DATABASE).is_file():
            self._open()
        return self._store

    def _open(self) -> tuple[JobStore, JobRunner]:
        # What runs jobs brings the models' library along, which a server without jobs need not wait for.
        from backend.pipeline.longform.job_runner import JobRunner

        with self._lock:
            if self._is_closed:
                raise JobConflict("The server is shutting down. Try again when it is back.")
            if self._store is None or self._runner is None:
                self._store = JobStore(self._folder)
                self._runner = JobRunner(
                    self._store, self._engine_of, n_rows=self.limits.n_rows, quota_bytes=self.limits.quota_bytes
                )
                self._runner.start()
            return self._store, self._runner

    def _change(
        self, job: str, state: str, only_from: tuple[str, ...], reason: str = "", *, already: tuple[str, ...]
    ) -> JobRecord:
        changed = self._kept.set_state(job, state, reason, only_from=only_from)  # type: ignore[arg-type]
        found = self.job(job)
        if not changed and found.state not in already:
            raise JobConflict(f"The job is {found.state}, so it cannot become {state}. Create it again.")
        self._wake()
        return found

    def _seen(self, job: JobRecord) -> JobRecord:
        """A job with the trouble that could not be written down."""
        reason = self._runner.trouble.get(job.id) if self._runner is not None else None
        return job if reason is None else replace(job, state="paused", reason=reason)

    def _wake(self) -> None:
        if self._runner is not None:
            self._runner.wake()


def _sentences(document: Document, seed: int) -> tuple[NewSentence, ...]:
    """Sentences with seeds of their own: by their words, so that a text changed in one place keeps all others' sound."""
    seen: Counter[str] = Counter()
    sentences = []
    for one in sentences_of(document):
        number = int(content_key(seed, one.text, seen[one.text])[:SEED_CHARS], 16)
        sentences.append(NewSentence(one.chapter, one.text, number, one.pause_s))
        seen[one.text] += 1
    return tuple(sentences)
