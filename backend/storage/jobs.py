"""Job store on disk. A process killed at any moment loses at most one sentence."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from backend.errors import JobConflict, UnknownJob
from backend.storage.database import JobDatabase, ProcessLock
from backend.storage.job_models import (
    RUNNABLE,
    ChapterRecord,
    JobRecord,
    JobState,
    NewJob,
    SentenceRecord,
    SpeechParams,
    TakeRecord,
    TakeTask,
)
from backend.storage.take_files import RESERVE_BYTES, SoundFiles

ID = re.compile(r"[0-9a-f]{32}")
MAX_TAKES = 100
DATABASE = "jobs.sqlite"
TOUCH = "UPDATE jobs SET revision = revision + 1, updated_at = ? WHERE id = ?"
TAKE_COLUMNS = "take, text, seed, state, reason, coalesce(sound, '') AS sound, duration_s, finish_reason"


class JobStore:
    """Jobs in one folder, safe for many threads and processes. The process that holds `runner` synthesizes them."""

    def __init__(self, folder: Path, reserve_bytes: int = RESERVE_BYTES):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._database = JobDatabase(folder / DATABASE)
        self.sounds = SoundFiles(folder / "sounds", reserve_bytes)
        (folder / "sounds").mkdir(exist_ok=True)
        self.runner = ProcessLock(folder / "runner.lock")

    def close(self) -> None:
        self.runner.release()
        self._database.close()

    def create(self, new: NewJob) -> JobRecord:
        """Create a job; it is on disk with every sentence once this returns. Raises `StorageFull`."""
        job, now = secrets.token_hex(16), _now()
        delivery = json.dumps(asdict(new.delivery))
        with self._database.change() as database:
            database.execute(
                "INSERT INTO jobs (id, created_at, updated_at, state, title, author, format, seed, delivery, "
                "voice_key, source, n_sentences, left_out) VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job, now, now, new.title, new.author, new.format, new.seed, delivery, new.voice_key, new.source,
                 len(new.sentences), json.dumps(new.left_out)),
            )  # fmt: skip
            database.executemany(
                "INSERT INTO chapters (job, number, title) VALUES (?, ?, ?)",
                [(job, number, title) for number, title in enumerate(new.chapters)],
            )
            database.executemany(
                "INSERT INTO sentences (job, number, chapter, pause_s) VALUES (?, ?, ?, ?)",
                [(job, number, one.chapter, one.pause_s) for number, one in enumerate(new.sentences)],
            )
            database.executemany(
                "INSERT INTO takes (job, sentence, take, text, seed) VALUES (?, ?, 0, ?, ?)",
                [(job, number, one.text, one.seed) for number, one in enumerate(new.sentences)],
            )
        return self.job(job)

    def jobs(self) -> list[JobRecord]:
        """Return all jobs, newest first."""
        return [_job(row) for row in self._database.rows("SELECT * FROM jobs ORDER BY created_at DESC, rowid DESC")]

    def job(self, job: str) -> JobRecord:
        """Return a job. Raises `UnknownJob`."""
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", job) if ID.fullmatch(job) else None
        if row is None:
            raise UnknownJob("There is no such job. List the jobs to see what is available.")
        return _job(row)

    def find_by_source(self, source: str) -> JobRecord | None:
        """Return the newest job with this source hash that was not cancelled."""
        row = self._database.row(
            "SELECT * FROM jobs WHERE source = ? AND state != 'cancelled' ORDER BY created_at DESC, rowid DESC", source
        )
        return None if row is None else _job(row)

    def chapters(self, job: str) -> list[ChapterRecord]:
        rows = self._database.rows("SELECT title, start_s FROM chapters WHERE job = ? ORDER BY number", job)
        return [ChapterRecord(**row) for row in rows]

    def sentences(self, job: str, first: int = 0, n_most: int = 10**9, since: int = 0) -> list[SentenceRecord]:
        """Return up to `n_most` sentences from number `first` on that changed after revision `since`."""
        rows = self._database.rows(
            f"SELECT number, chapter, pause_s, chosen, revision, {TAKE_COLUMNS} FROM "
            "(SELECT * FROM sentences WHERE job = ?1 AND number >= ?2 AND revision > ?3 ORDER BY number LIMIT ?4) AS one "
            "JOIN takes ON takes.job = one.job AND takes.sentence = one.number ORDER BY number, take",
            job, first, since, n_most,
        )  # fmt: skip
        return [_sentence(list(group)) for _, group in groupby(rows, key=lambda row: row["number"])]

    def sentence(self, job: str, sentence: int) -> SentenceRecord:
        """Return a sentence. Raises `UnknownJob`."""
        records = self.sentences(job, sentence, 1)
        if not records or records[0].index != sentence:
            count = self.job(job).n_sentences
            raise UnknownJob(f"The job has no sentence {sentence}; they are numbered 0 to {count - 1}.")
        return records[0]

    def take(self, job: str, sentence: int, take: int | None = None) -> TakeRecord:
        """Return a take by number, or the chosen one. Raises `UnknownJob`."""
        record = self.sentence(job, sentence)
        number = record.chosen if take is None else take
        if not 0 <= number < len(record.takes):
            raise UnknownJob(f"Sentence {sentence} has no take {number}; there are 0 to {len(record.takes) - 1}.")
        return record.takes[number]

    def set_state(self, job: str, state: JobState, reason: str = "", *, only_from: Collection[str]) -> bool:
        """Set a job's state if it is in one of `only_from`; return whether it was."""
        marks = ", ".join("?" * len(only_from))
        with self._database.change() as database:
            done = database.execute(
                "UPDATE jobs SET state = ?, reason = ?, updated_at = ?, revision = revision + 1 "
                f"WHERE id = ? AND state IN ({marks})",
                (state, reason, _now(), job, *only_from),
            )
        return done.rowcount > 0

    def set_voice_key(self, job: str, voice_key: str) -> None:
        with self._database.change() as database:
            database.execute("UPDATE jobs SET voice_key = ? WHERE id = ?", (voice_key, job))

    def add_take(self, job: str, sentence: int, text: str, seed: int) -> TakeRecord:
        """Queue another take. Raises `UnknownJob`, and `JobConflict` beyond `MAX_TAKES`."""
        with self._database.lock:
            number = len(self.sentence(job, sentence).takes)
            if number >= MAX_TAKES:
                raise JobConflict(
                    f"Sentence {sentence} has {number} takes; the limit is {MAX_TAKES}. Choose one of them."
                )
            with self._database.change() as database:
                database.execute(
                    "INSERT INTO takes (job, sentence, take, text, seed) VALUES (?, ?, ?, ?, ?)",
                    (job, sentence, number, text, seed),
                )
                _touch(database, job, sentence)
        return self.take(job, sentence, number)

    def choose(self, job: str, sentence: int, take: int) -> SentenceRecord:
        """Select the take to use; a finished file is written again. Raises `UnknownJob`, `JobConflict`."""
        with self._database.lock:
            chosen, record = self.take(job, sentence, take), self.sentence(job, sentence)
            if chosen.state != "done":
                raise JobConflict(f"Take {take} of sentence {sentence} is {chosen.state}; choose one that is done.")
            if take == record.chosen:
                return record
            is_new = record.chosen_take.state == "waiting"
            with self._database.change() as database:
                database.execute("UPDATE sentences SET chosen = ? WHERE job = ? AND number = ?", (take, job, sentence))
                database.execute(
                    "UPDATE jobs SET n_done = n_done + ?, audio_s = audio_s + ? WHERE id = ?",
                    (int(is_new), chosen.duration_s - record.chosen_take.duration_s, job),
                )
                # A file that is being written contains the old take, so start it again.
                database.execute(
                    "UPDATE jobs SET state = 'waiting' WHERE id = ? AND state IN ('done', 'writing')", (job,)
                )
                _touch(database, job, sentence)
        return self.sentence(job, sentence)

    def next_take(self, busy: Collection[tuple[str, int, int]]) -> TakeTask | None:
        """Return the next take that is not in `busy`: additional takes first, then the jobs round-robin.

        The next job is the one with the fewest sentences in `busy`, and among those the one updated longest ago, so
        that a long job does not delay a short one.
        """
        additional = self._database.rows(
            "SELECT takes.* FROM takes JOIN jobs ON jobs.id = job WHERE takes.state = 'waiting' AND take > 0 "
            "AND jobs.state != 'cancelled' ORDER BY jobs.created_at, sentence, take LIMIT ?",
            len(busy) + 1,
        )
        for row in additional:
            if (row["job"], row["sentence"], row["take"]) not in busy:
                return self._task(row)
        n_busy = Counter(owner for owner, _, _ in busy)
        for job in sorted(self.runnable(), key=lambda job: (n_busy[job.id], job.updated_at)):
            rows = self._database.rows(
                "SELECT takes.* FROM takes WHERE job = ? AND state = 'waiting' ORDER BY sentence, take LIMIT ?",
                job.id, len(busy) + 1,
            )  # fmt: skip
            for row in rows:
                if (row["job"], row["sentence"], row["take"]) not in busy:
                    return self._task(row)
        return None

    def runnable(self) -> list[JobRecord]:
        """Return the jobs in a runnable state, oldest first."""
        marks = ", ".join("?" * len(RUNNABLE))
        rows = self._database.rows(f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY created_at, rowid", *RUNNABLE)
        return [_job(row) for row in rows]

    def reuse(self, task: TakeTask, key: str, finish_reason: str = "stop") -> bool:
        """Complete the take with stored audio under `key`; return whether there is any."""
        row = self._database.row("SELECT sound, duration_s, finish_reason FROM takes WHERE sound = ? LIMIT 1", key)
        if row is None or not self.sounds.has(key):
            return False
        self._complete(task, "done", sound=key, duration_s=row["duration_s"], finish_reason=row["finish_reason"])
        return True

    def keep(self, task: TakeTask, key: str, content: bytes, duration_s: float, finish_reason: str) -> None:
        """Store a finished take: its FLAC file, then its record. Raises `StorageFull`."""
        # Under the lock, so that deleting another job cannot remove audio that both share.
        with self._database.lock:
            self.sounds.write(key, content)
            self._complete(
                task, "done", sound=key, duration_s=duration_s, finish_reason=finish_reason, size_bytes=len(content)
            )

    def skip(self, task: TakeTask, reason: str) -> None:
        """Mark a take as skipped: it cannot be synthesized."""
        self._complete(task, "skipped", reason=reason)

    def requeue(self, job: str, sentences: Iterable[int]) -> None:
        """Synthesize the chosen takes of these sentences again: their audio is missing or damaged."""
        for sentence in sentences:
            record = self.sentence(job, sentence)
            with self._database.change() as database:
                database.execute(
                    "UPDATE takes SET state = 'waiting', sound = NULL, duration_s = 0 "
                    "WHERE job = ? AND sentence = ? AND take = ?",
                    (job, sentence, record.chosen),
                )
                database.execute(
                    "UPDATE jobs SET n_done = n_done - 1, audio_s = audio_s - ? WHERE id = ?",
                    (record.chosen_take.duration_s, job),
                )
                _touch(database, job, sentence)

    def folder_of(self, job: str) -> Path:
        """Return the folder of a job's audio file, creating it if necessary."""
        folder = self._folder / "files" / self.job(job).id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, job: str, file: str, file_bytes: int, audio_s: float, starts_s: Sequence[float]) -> bool:
        """Record the complete audio file; return False if the job's state has changed meanwhile."""
        with self._database.change() as database:
            done = database.execute(
                "UPDATE jobs SET state = 'done', reason = '', file = ?, file_bytes = ?, file_audio_s = ?, "
                "updated_at = ?, revision = revision + 1 WHERE id = ? AND state = 'writing'",
                (file, file_bytes, audio_s, _now(), job),
            )
            if done.rowcount:
                database.executemany(
                    "UPDATE chapters SET start_s = ? WHERE job = ? AND number = ?",
                    [(start_s, job, number) for number, start_s in enumerate(starts_s)],
                )
        return done.rowcount > 0

    def delete(self, job: str) -> None:
        """Delete a job, its file, and all audio that no other job uses. Raises `UnknownJob`."""
        with self._database.lock:
            self.job(job)
            sounds = [row[0] for row in self._database.rows("SELECT DISTINCT sound FROM takes WHERE job = ?", job)]
            with self._database.change() as database:
                database.execute("DELETE FROM jobs WHERE id = ?", (job,))
                unused = [
                    key for key in sounds
                    if key and database.execute(
                        "DELETE FROM sounds WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM takes WHERE sound = ?1)", (key,)
                    ).rowcount
                ]  # fmt: skip
            self.sounds.delete(unused)
        shutil.rmtree(self._folder / "files" / job, ignore_errors=True)

    @property
    def size_bytes(self) -> int:
        """Total size of all takes and files."""
        row = self._database.row(
            "SELECT (SELECT coalesce(sum(size_bytes), 0) FROM sounds) + (SELECT coalesce(sum(file_bytes), 0) FROM jobs)"
        )
        assert row is not None
        return row[0]

    def sweep(self) -> None:
        """Delete incomplete files left by a killed process. Requires the `runner` lock."""
        self.sounds.sweep({row[0] for row in self._database.rows("SELECT key FROM sounds")})
        files = {job.id: job.file for job in self.jobs()}
        for folder in (self._folder / "files").glob("*"):
            if folder.name not in files:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for path in folder.iterdir():
                if path.name != files[folder.name]:
                    path.unlink(missing_ok=True)

    def _task(self, row: sqlite3.Row) -> TakeTask:
        job = self.job(row["job"])
        return TakeTask(job.id, row["sentence"], row["take"], row["text"], row["seed"], job.delivery, job.voice_key)

    def _complete(
        self, task: TakeTask, state: str, *, reason: str = "", sound: str | None = None, duration_s: float = 0.0,
        finish_reason: str = "", size_bytes: int = 0,
    ) -> None:  # fmt: skip
        """Mark a waiting take as done or skipped. If its job was deleted meanwhile, delete its audio."""
        with self._database.change() as database:
            if sound is not None and size_bytes:
                database.execute("INSERT OR IGNORE INTO sounds (key, size_bytes) VALUES (?, ?)", (sound, size_bytes))
            completed = database.execute(
                "UPDATE takes SET state = ?, reason = ?, sound = ?, duration_s = ?, finish_reason = ? "
                "WHERE job = ? AND sentence = ? AND take = ? AND state = 'waiting'",
                (state, reason, sound, duration_s, finish_reason, *task.place),
            )
            if completed.rowcount:
                database.execute(
                    "UPDATE jobs SET n_done = n_done + 1, audio_s = audio_s + ?1 WHERE id = ?2 AND EXISTS "
                    "(SELECT 1 FROM sentences WHERE job = ?2 AND number = ?3 AND chosen = ?4)",
                    (duration_s, *task.place),
                )
                _touch(database, task.job, task.sentence)
        if sound is not None and not completed.rowcount:
            self._delete_if_unused(sound)

    def _delete_if_unused(self, key: str) -> None:
        with self._database.lock, self._database.change() as database:
            is_unused = database.execute(
                "DELETE FROM sounds WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM takes WHERE sound = ?1)", (key,)
            ).rowcount
            if is_unused:
                self.sounds.delete([key])


def _touch(database: sqlite3.Connection, job: str, sentence: int) -> None:
    """Give the job a new revision and set the changed sentence to it."""
    database.execute(TOUCH, (_now(), job))
    database.execute(
        "UPDATE sentences SET revision = (SELECT revision FROM jobs WHERE id = ?1) WHERE job = ?1 AND number = ?2",
        (job, sentence),
    )


def _job(row: sqlite3.Row) -> JobRecord:
    values = {field.name: row[field.name] for field in fields(JobRecord)}
    values |= {"delivery": SpeechParams(**json.loads(row["delivery"])), "left_out": tuple(json.loads(row["left_out"]))}
    return JobRecord(**values)


def _sentence(rows: list[sqlite3.Row]) -> SentenceRecord:
    takes = tuple(TakeRecord(**{field.name: row[field.name] for field in fields(TakeRecord)}) for row in rows)
    first = rows[0]
    return SentenceRecord(
        first["number"], first["chapter"], first["pause_s"], first["chosen"], first["revision"], takes
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
