"""Background synthesis of jobs, sentence by sentence, with lower priority than interactive requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.errors import (
    BadAudio,
    BadText,
    Busy,
    Cancelled,
    EngineFailure,
    NotReady,
    PhonogramError,
    StorageFull,
    TimedOut,
    UnknownJob,
)
from backend.pipeline.longform.audiobook import write_book
from backend.runtime.lru_cache import content_key
from backend.runtime.request import SpeechRequest
from backend.runtime.worker import Worker
from backend.storage.job_models import RUNNABLE, JobRecord, TakeTask
from backend.storage.jobs import JobStore

log = logging.getLogger(__name__)

# The scheduler treats all jobs together as one client.
CLIENT = "jobs"
# Polling interval for the engine to load, or for another process to release the jobs.
POLL_S = 1.0
OCCUPANCY_POLL_S = 0.05
# Longest time a sentence yields to active interactive requests.
MAX_YIELD_S = 10.0
ATTEMPTS = 3
QUOTA_EVERY_S = 5.0


class Occupancy(Protocol):
    """Numbers of active and waiting requests."""

    @property
    def active(self) -> int: ...

    @property
    def waiting(self) -> int: ...


class SentenceStream(Protocol):
    """Audio stream of one sentence."""

    @property
    def finish_reason(self) -> str: ...

    def __iter__(self) -> Iterator[Waveform]: ...

    def cancel(self) -> None: ...


class SentenceEngine(Protocol):
    """Engine interface used by jobs. `voice_key` changes when the same text and seed would sound different."""

    @property
    def occupancy(self) -> Occupancy | None: ...

    def voice_key(self, voice: str | None) -> str: ...

    def begin(self, request: SpeechRequest, client: str = "") -> SentenceStream: ...


class JobRunner:
    """Synthesizes up to `n_rows` sentences at a time, round-robin over the jobs, and stores each one at once.

    A job that fails is paused with the reason; `unsaved_reasons` holds reasons that could not be written to disk.
    """

    def __init__(
        self, store: JobStore, get_engine: Callable[[], SentenceEngine], *, n_rows: int, quota_bytes: int,
        max_yield_s: float = MAX_YIELD_S,
    ):  # fmt: skip
        """`get_engine` may raise `NotReady`."""
        self._store, self._get_engine = store, get_engine
        self._quota_bytes, self._max_yield_s = quota_bytes, max_yield_s
        self.unsaved_reasons: dict[str, str] = {}
        self._busy: dict[tuple[str, int, int], SentenceStream | None] = {}
        self._cancelled: set[tuple[str, int, int]] = set()
        self._written: str | None = None  # the job whose file is being written
        self._current_jobs: dict[int, str] = {}  # by worker
        self._attempts: dict[tuple[str, int, int], int] = {}
        self._quota_checked_s = 0.0
        self._is_swept = False
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._workers = [
            Worker(f"job {number + 1}", partial(self._tick, number), partial(self._fail, number), _ignore)
            for number in range(n_rows)
        ]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """Check for work."""
        for worker in self._workers:
            worker.wake()

    def close(self) -> None:
        """Stop at once; the next runner repeats interrupted sentences. Idempotent."""
        self._closing.set()
        self.cancel_takes()
        for worker in self._workers:
            worker.close()

    def speaking(self, job: str) -> frozenset[tuple[int, int]]:
        """Return the (sentence, take) pairs of a job that are in progress."""
        with self._lock:
            return frozenset((sentence, take) for owner, sentence, take in self._busy if owner == job)

    def cancel_takes(self, job: str | None = None) -> None:
        """Cancel the takes in progress of one job, or of all jobs."""
        with self._lock:
            for place, stream in self._busy.items():
                if job in (None, place[0]):
                    self._cancelled.add(place)
                    if stream is not None:
                        stream.cancel()

    def _tick(self, number: int) -> bool:
        if self._closing.is_set():
            return False
        self._current_jobs.pop(number, None)
        if not self._store.runner.acquire():
            return self._rest(POLL_S)
        with self._lock:
            if not self._is_swept:
                self._store.sweep()
                self._is_swept = True
            self._save_reasons()
            task = self._store.next_take(self._busy)
            job = None if task else self._complete_job()
            if task is not None:
                self._busy[task.place] = None
                self._current_jobs[number] = task.job
            elif job is not None:
                self._written = self._current_jobs[number] = job.id
            else:
                return False
        try:
            if task is not None:
                return self._speak(task)
            assert job is not None
            return self._write(job)
        finally:
            with self._lock:
                if task is not None:
                    del self._busy[task.place]
                    self._cancelled.discard(task.place)
                else:
                    self._written = None
            self.wake()

    def _complete_job(self) -> JobRecord | None:
        """Return a job whose sentences are all done, unless a file is being written already."""
        if self._written is not None:
            return None
        return next((job for job in self._store.runnable() if job.n_done >= job.n_sentences), None)

    def _speak(self, task: TakeTask) -> bool:
        try:
            engine = self._get_engine()
            self._yield_to_requests(engine, task)
            voice_key = engine.voice_key(task.delivery.voice)
            if voice_key != task.voice_key:
                self._stop(
                    task, "The voice or the model has changed since the job was created. Resume to continue with it."
                )
                return True
            key = sound_key(task)
            if not self._store.reuse(task, key):
                self._require_quota()
                self._store.set_state(task.job, "speaking", only_from=("waiting",))
                self._synthesize(task, key, engine)
            self._attempts.pop(task.place, None)
        except Cancelled:
            return not self._closing.is_set()
        except (NotReady, Busy) as error:
            return self._rest(min(getattr(error, "retry_after_s", POLL_S), 5 * POLL_S))
        except (TimedOut, EngineFailure) as error:
            self._attempts[task.place] = self._attempts.get(task.place, 0) + 1
            if self._attempts[task.place] < ATTEMPTS:
                return self._rest(POLL_S)
            self._stop(task, f"Sentence {task.sentence} failed {ATTEMPTS} times: {error}")
        except BadText as error:
            self._store.skip(task, str(error))
        except PhonogramError as error:
            self._stop(task, str(error))
        return True

    def _synthesize(self, task: TakeTask, key: str, engine: SentenceEngine) -> None:
        stream = engine.begin(request_of(task), CLIENT)
        with self._lock:
            self._busy[task.place] = stream
            if task.place in self._cancelled or self._closing.is_set():
                stream.cancel()
        try:
            pieces = list(stream)
        finally:
            stream.cancel()
        if not pieces:
            raise EngineFailure("The engine generated no audio. Try another seed or voice.")
        audio = Waveform(np.concatenate([piece.samples for piece in pieces], axis=1), pieces[0].rate_hz)
        self._store.keep(task, key, encode_audio(audio, "flac"), audio.duration_s, stream.finish_reason)

    def _yield_to_requests(self, engine: SentenceEngine, task: TakeTask) -> None:
        """Wait for interactive requests. Raises `Cancelled` if the task is cancelled meanwhile."""
        until_s = time.monotonic() + self._max_yield_s
        while (occupancy := engine.occupancy) is not None:
            with self._lock:
                if self._closing.is_set() or task.place in self._cancelled:
                    raise Cancelled("The job was stopped while it waited for other requests.")
                n_own = sum(stream is not None for stream in self._busy.values())
            if not occupancy.waiting and (occupancy.active <= n_own or time.monotonic() > until_s):
                return
            self._closing.wait(OCCUPANCY_POLL_S)

    def _write(self, job: JobRecord) -> bool:
        if not self._store.set_state(job.id, "writing", only_from=RUNNABLE):  # paused meanwhile
            return True
        revision = self._store.job(job.id).revision

        def is_wanted() -> bool:
            return not self._closing.is_set() and self._store.job(job.id).state == "writing"

        partial_name = f"{revision}.part"
        folder = self._store.folder_of(job.id)
        try:
            self._require_quota()
            book = write_book(self._store, self._store.job(job.id), folder / partial_name, is_wanted)
            if book is None:
                return True
            file = f"{revision}.{job.format}"
            (folder / partial_name).replace(folder / file)
            if self._store.finish(job.id, file, book.size_bytes, book.duration_s, book.starts_s):
                _delete_others(folder, file)
                log.info("Job %s is done: %.0f s in %d bytes.", job.id, book.duration_s, book.size_bytes)
            else:
                (folder / file).unlink(missing_ok=True)
        except UnknownJob:
            return True
        except BadAudio as error:
            self._store.set_state(job.id, "failed", str(error), only_from=RUNNABLE)
        except PhonogramError as error:
            self._pause(job.id, str(error))
        except OSError as error:
            self._pause(
                job.id, f"The audio file cannot be written ({error.strerror}). Free some disk space, then resume."
            )
        finally:
            (folder / partial_name).unlink(missing_ok=True)
        return True

    def _stop(self, task: TakeTask, reason: str) -> None:
        """Pause the job of a failed sentence; skip a failed additional take."""
        if task.take:
            self._store.skip(task, reason)
        else:
            self._pause(task.job, reason)
        self._attempts.pop(task.place, None)

    def _pause(self, job: str, reason: str) -> None:
        log.warning("Job %s is paused: %s", job, reason)
        try:
            self._store.set_state(job, "paused", reason, only_from=RUNNABLE)
        except PhonogramError:
            # A disk that is full for audio may be full for the database too.
            self.unsaved_reasons[job] = reason

    def _save_reasons(self) -> None:
        """Write `unsaved_reasons` to the store. Raises `StorageFull` while the disk is full."""
        for job, reason in list(self.unsaved_reasons.items()):
            self._store.set_state(job, "paused", reason, only_from=RUNNABLE)
            del self.unsaved_reasons[job]

    def _require_quota(self) -> None:
        if time.monotonic() - self._quota_checked_s < QUOTA_EVERY_S:
            return
        size_bytes = self._store.size_bytes
        if size_bytes > self._quota_bytes:
            raise StorageFull(
                f"The jobs hold {size_bytes // 2**20} MB; the limit is {self._quota_bytes // 2**20} MB "
                "(DATA_QUOTA_MB). Delete some jobs, then resume."
            )
        self._quota_checked_s = time.monotonic()

    def _fail(self, number: int, error: PhonogramError) -> None:
        """Pause the worker's job after an internal error or a failed write."""
        job = self._current_jobs.get(number)
        if job is not None and not isinstance(error, Cancelled):
            self._pause(job, str(error))
        self._closing.wait(POLL_S)

    def _rest(self, duration_s: float) -> bool:
        """Wait up to `duration_s`; return False if the runner is closing."""
        return not self._closing.wait(duration_s)


def request_of(task: TakeTask) -> SpeechRequest:
    """Return the speech request of a take."""
    return SpeechRequest(
        text=task.text, seed=task.seed, whole=True, use_memory_cache=False, latency="normal", **asdict(task.delivery)
    )


def sound_key(task: TakeTask) -> str:
    """Return the key of a take's audio: equal for takes that sound the same, across jobs."""
    delivery = {name: value for name, value in asdict(task.delivery).items() if name != "voice"}
    return content_key(task.voice_key, task.text, task.seed, repr(sorted(delivery.items())))


def _delete_others(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != name:
            path.unlink(missing_ok=True)


def _ignore(error: PhonogramError) -> None:
    """Ignore the error of a closing worker: clients read job states from the store."""
