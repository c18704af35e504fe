"""Job runner: durability after kills, no repeated synthesis, low priority."""

import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from backend.errors import BadText, Busy, EngineFailure, JobConflict, OutputError
from backend.pipeline.longform.audiobook import BOOK_FORMATS
from backend.storage.database import ProcessLock
from tests.support.fake_engine import FakeEngine
from tests.support.reading_jobs import BOOK, LIMITS, SENTENCES, accept, job_service_in, read_until_killed, until

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="starts copies of a prepared process")


def read_whole(folder, **fields):
    """The bytes of the finished file of an uninterrupted job."""
    with job_service_in(folder) as service:
        job = accept(service, **fields)
        until(service, job.id, "done")
        return service.file(job.id).read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return read_whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.reading_jobs", "backend.pipeline.longform.job_runner"])
    return context


def kill_while_reading(processes, folder, wait_s, sentence_s=0.02):
    """Run a job in a process for `wait_s` and kill it; returns the job id and whether the job was done."""
    parent_end, child_end = processes.Pipe()
    process = processes.Process(target=read_until_killed, args=(folder, child_end, sentence_s))
    process.start()
    job_id = parent_end.recv()
    is_done = parent_end.poll(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    return job_id, is_done


def finished_after_kills(processes, folder, waits_s, **options):
    ids = {kill_while_reading(processes, folder, wait_s, **options)[0] for wait_s in waits_s}
    assert len(ids) == 1, "a created job was lost"
    with job_service_in(folder) as service:
        job = until(service, ids.pop(), "done")
        assert job.n_done == job.n_sentences == len(SENTENCES) + 2
        return service.file(job.id).read_bytes(), len(service.engine.asked)


@ON_LINUX
def test_killed_job_resumes_with_identical_audio(processes, tmp_path, uninterrupted):
    content, n_asked = finished_after_kills(processes, tmp_path, [0.0, 0.1, 0.15])
    assert content == uninterrupted
    assert n_asked < len(SENTENCES), "finished sentences were synthesized again"


@ON_LINUX
@pytest.mark.slow
def test_job_killed_at_random_moments_gives_identical_audio(processes, tmp_path, uninterrupted):
    chance = random.Random(7)
    for round_number in range(5):
        waits_s = [chance.uniform(0.0, 0.25) for _ in range(8)]
        content, _ = finished_after_kills(processes, tmp_path / str(round_number), waits_s, sentence_s=0.01)
        assert content == uninterrupted
        assert not list((tmp_path / str(round_number)).rglob("*.part")), "a killed process left a partial file"


def fill_the_disk(folder, pipe):
    """Run a job with a file size limit that simulates a full disk, then without it."""
    import resource

    with job_service_in(folder) as service:
        # The engine is busy at first, so that nothing is synthesized before the disk is full.
        service.engine.crowd = SimpleNamespace(active=0, waiting=1)
        job = accept(service)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        service.engine.crowd = None
        stopped = until(service, job.id, "paused")
        pipe.send((stopped.reason, stopped.n_done))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        service.resume(job.id)
        until(service, job.id, "done")
        pipe.send(service.file(job.id).read_bytes())


@ON_LINUX
def test_full_disk_pauses_the_job_without_partial_files(processes, tmp_path, uninterrupted):
    parent_end, child_end = processes.Pipe()
    process = processes.Process(target=fill_the_disk, args=(tmp_path, child_end))
    process.start()
    assert parent_end.poll(60)
    reason, n_done = parent_end.recv()
    assert "Free some" in reason and n_done == 0
    assert not list(tmp_path.rglob("*.part"))
    assert parent_end.poll(60) and parent_end.recv() == uninterrupted
    process.join(10)


def test_low_disk_space_pauses_the_job(tmp_path, monkeypatch):
    with job_service_in(tmp_path) as service:
        monkeypatch.setattr("backend.storage.take_files.shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
        stopped = until(service, accept(service).id, "paused")
        assert stopped.reason == "The disk has 1 MB free; 65 MB are needed. Free some space, then resume."
        monkeypatch.undo()
        service.resume(stopped.id)
        until(service, stopped.id, "done")


def test_job_over_the_quota_is_paused(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.pipeline.longform.job_runner.QUOTA_EVERY_S", 0.0)
    with job_service_in(tmp_path, limits=replace(LIMITS, quota_bytes=100_000)) as service:
        job = until(service, accept(service).id, "paused")
        assert "DATA_QUOTA_MB" in job.reason and 0 < job.n_done < job.n_sentences


def test_seed_determines_the_audio_of_a_job(tmp_path, uninterrupted):
    assert read_whole(tmp_path / "a", seed=6) != uninterrupted == read_whole(tmp_path / "b")


@pytest.mark.parametrize("format", BOOK_FORMATS)
def test_every_book_format_contains_all_audio(tmp_path, format):
    av = pytest.importorskip("av")
    with job_service_in(tmp_path) as service:
        job = until(service, accept(service, format=format, title="A Book", author="Ann").id, "done")
        with av.open(str(service.file(job.id))) as file:
            length_s = sum(frame.samples for frame in file.decode(audio=0)) / file.streams.audio[0].rate
            chapters = [mark["metadata"]["title"] for mark in file.chapters()]
            metadata = dict(file.metadata)
        assert length_s == pytest.approx(job.file_audio_s, abs=0.1)
        if format == "m4b":
            assert chapters == [chapter.title for chapter in service.chapters(job.id)] == ["One", "Two"]
            assert (metadata["title"], metadata["artist"]) == ("A Book", "Ann")


def test_silent_chapter_has_no_chapter_mark(tmp_path):
    av = pytest.importorskip("av")
    with job_service_in(tmp_path) as service:
        for words in ("Silent chapter.", "Nothing to say in this one, sorry."):
            service.engine.refusals[words] = BadText("Nothing to speak.")
        parts = (
            ("Spoken one", "Some words."),
            ("Silent chapter", "Nothing to say in this one, sorry."),
            ("Spoken two", "Ends."),
        )
        text = "\n\n".join(f"# {title}\n\n{words}" for title, words in parts).encode()
        job = until(service, accept(service, text, "m4b").id, "done")
        with av.open(str(service.file(job.id))) as file:
            assert [mark["metadata"]["title"] for mark in file.chapters()] == ["Spoken one", "Spoken two"]


def test_job_without_any_audio_fails_with_the_reason(tmp_path):
    with job_service_in(tmp_path) as service:
        service.engine.refusal = BadText("Nothing to speak.")
        assert "No sentence of the text could be synthesized" in until(service, accept(service).id, "failed").reason


def test_jobs_yield_to_waiting_requests(tmp_path):
    with job_service_in(tmp_path) as service:
        service.engine.crowd = SimpleNamespace(active=1, waiting=1)
        job = accept(service)
        time.sleep(0.3)
        assert not service.engine.asked
        service.engine.crowd = SimpleNamespace(active=0, waiting=0)
        until(service, job.id, "done")
    assert set(service.engine.clients) == {"jobs"}


def test_short_job_is_not_delayed_by_long_jobs(tmp_path):
    page = SENTENCES[:3]
    with job_service_in(tmp_path, limits=replace(LIMITS, n_rows=1)) as service:
        service.engine.crowd = SimpleNamespace(active=0, waiting=1)  # hold the jobs until all are created
        books = [accept(service, seed=seed) for seed in (1, 2)]
        short = accept(service, "\n\n".join(page).encode(), seed=3)
        service.engine.crowd = SimpleNamespace(active=0, waiting=0)
        for job in (*books, short):
            until(service, job.id, "done")
        owner_of = {
            (one.chosen_take.text, one.chosen_take.seed): job.id for job in (*books, short) for one in service.sentences(job.id)
        }  # fmt: skip
        turns = [owner_of[request.text, request.seed] for request in service.engine.asked]
    assert len(turns) == len(page) + 2 * len(SENTENCES) + 4  # each book has two headings
    last = max(index for index, job in enumerate(turns) if job == short.id)
    assert last < 3 * len(page) + 2
    # The two books alternate.
    both = [job for job in turns if job != short.id]
    assert all(abs(both[:n].count(books[0].id) - both[:n].count(books[1].id)) <= 2 for n in range(len(both)))


def test_job_retries_while_the_queue_is_full(tmp_path):
    with job_service_in(tmp_path) as service:
        service.engine.refusal = Busy("The queue is full.", retry_after_s=0.05)
        job = accept(service)
        while len(service.engine.asked) < 3:
            time.sleep(0.01)
        assert service.job(job.id).state in ("waiting", "speaking")
        service.engine.refusal = None
        until(service, job.id, "done")


def test_sentence_that_fails_three_times_pauses_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.pipeline.longform.job_runner.POLL_S", 0.01)
    with job_service_in(tmp_path) as service:
        service.engine.refusals[SENTENCES[3]] = EngineFailure("The model lost its way.")
        job = until(service, accept(service).id, "paused")
        assert job.reason == "Sentence 4 failed 3 times: The model lost its way."
        assert sum(request.text == SENTENCES[3] for request in service.engine.asked) == 3
        service.engine.refusals.clear()
        service.resume(job.id)
        until(service, job.id, "done")


def test_job_pauses_when_the_model_changes(tmp_path):
    with job_service_in(tmp_path) as service:
        service.engine.crowd = SimpleNamespace(active=0, waiting=1)
        job = accept(service)
    other = FakeEngine()
    other.model = "whistle"
    with job_service_in(tmp_path, other) as service:
        stopped = until(service, job.id, "paused")
        assert "voice or the model has changed" in stopped.reason and not service.engine.asked
        service.resume(job.id)
        until(service, job.id, "done")


def test_damaged_take_is_synthesized_again(tmp_path, uninterrupted):
    with job_service_in(tmp_path) as service:
        job = until(service, accept(service).id, "done")
        sounds = sorted((tmp_path / "sounds").rglob("*.flac"))
        sounds[0].unlink()
        sounds[1].write_bytes(sounds[1].read_bytes()[:-50])
        n_asked = len(service.engine.asked)
        take = service.new_take(job.id, 5)
        while service.take(job.id, 5, take.take).state != "done":
            time.sleep(0.01)
        service.choose(job.id, 5, take.take)
        until(service, job.id, "done")
        service.choose(job.id, 5, 0)
        until(service, job.id, "done")
        assert service.file(job.id).read_bytes() == uninterrupted
        assert len(service.engine.asked) == n_asked + 3


def test_choosing_a_take_changes_only_its_sentence(tmp_path):
    with job_service_in(tmp_path) as service:
        job = until(service, accept(service).id, "done")
        before, rate_hz = soundfile.read(service.file(job.id), dtype="int16")
        take = service.new_take(job.id, 8)
        while service.take(job.id, 8, take.take).state != "done":
            time.sleep(0.01)
        service.choose(job.id, 8, take.take)
        until(service, job.id, "done")
        after, _ = soundfile.read(service.file(job.id), dtype="int16")
        sentences = service.sentences(job.id)
        start = round(sum(one.chosen_take.duration_s + one.pause_s for one in sentences[:8]) * rate_hz)
        changed = np.nonzero(before != after)[0]
        assert start <= changed.min() and changed.max() < start + round(sentences[8].chosen_take.duration_s * rate_hz)


def test_deleting_a_job_deletes_its_unshared_audio(tmp_path):
    with job_service_in(tmp_path) as service:
        first, second = accept(service), accept(service, BOOK + b"\n\nOne more sentence to be read.")
        until(service, first.id, "done")
        until(service, second.id, "done")
        service.delete(first.id)
        assert len(list((tmp_path / "sounds").rglob("*.flac"))) == len(SENTENCES) + 3
        service.delete(second.id)
        assert not [path for path in (tmp_path / "sounds").rglob("*") if path.is_file()]
        assert not list((tmp_path / "files").iterdir())
        with pytest.raises(JobConflict, match="shutting down"):
            service.close()
            accept(service)


def test_process_lock_is_exclusive(tmp_path):
    first, second = ProcessLock(tmp_path / "lock"), ProcessLock(tmp_path / "lock")
    assert first.acquire() and first.acquire() and not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"SQLite format 3\0" + b"\xff" * 5000, "damaged"), (b"no database at all" * 100, "damaged")],
)
def test_damaged_database_is_reported_and_not_modified(tmp_path, content, message):
    (tmp_path / "jobs.sqlite").write_bytes(content)
    with job_service_in(tmp_path) as service, pytest.raises(OutputError, match=message):
        service.jobs()
    assert (tmp_path / "jobs.sqlite").read_bytes() == content


def test_database_of_a_later_version_is_rejected(tmp_path):
    import sqlite3

    with job_service_in(tmp_path) as service:
        accept(service)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with job_service_in(tmp_path) as service, pytest.raises(OutputError, match="later version"):
        service.jobs()
