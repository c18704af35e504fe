"""Jobs in the background: nothing accepted is lost, nothing spoken is spoken twice, and nobody waits for them."""

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
from tests.support.reading import BOOK, LIMITS, SENTENCES, accept, desk_in, read_until_killed, until

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="starts copies of a prepared process")


def read_whole(folder, **fields):
    """The bytes of the finished file, read without a break."""
    with desk_in(folder) as desk:
        job = accept(desk, **fields)
        until(desk, job.id, "done")
        return desk.file(job.id).read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return read_whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.reading", "backend.pipeline.longform.job_runner"])
    return context


def kill_while_reading(processes, folder, wait_s, sentence_s=0.02):
    """Let a process read for `wait_s` and kill it; returns the id it was given, and whether it was done."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=read_until_killed, args=(folder, theirs, sentence_s))
    process.start()
    job_id = ours.recv()
    is_done = ours.poll(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    return job_id, is_done


def finished_after_kills(processes, folder, waits_s, **options):
    ids = {kill_while_reading(processes, folder, wait_s, **options)[0] for wait_s in waits_s}
    assert len(ids) == 1, "an accepted job was lost"
    with desk_in(folder) as desk:
        job = until(desk, ids.pop(), "done")
        assert job.n_done == job.n_sentences == len(SENTENCES) + 2
        return desk.file(job.id).read_bytes(), len(desk.engine.asked)


@ON_LINUX
def test_a_job_killed_in_between_goes_on_and_sounds_the_same(processes, tmp_path, uninterrupted):
    content, n_asked = finished_after_kills(processes, tmp_path, [0.0, 0.1, 0.15])
    assert content == uninterrupted
    assert n_asked < len(SENTENCES), "what was spoken before the kill was spoken again"


@ON_LINUX
@pytest.mark.slow
def test_a_job_killed_at_many_random_moments_sounds_the_same(processes, tmp_path, uninterrupted):
    chance = random.Random(7)
    for round_number in range(5):
        waits_s = [chance.uniform(0.0, 0.25) for _ in range(8)]
        content, _ = finished_after_kills(processes, tmp_path / str(round_number), waits_s, sentence_s=0.01)
        assert content == uninterrupted
        assert not list((tmp_path / str(round_number)).rglob("*.part")), "a killed process left something half written"


def fill_the_disk(folder, pipe):
    """Read a book while no file may grow, then while it may again."""
    import resource

    with desk_in(folder) as desk:
        # Paused first, so that nothing is spoken before the disk is full.
        desk.engine.crowd = SimpleNamespace(active=0, waiting=1)
        job = accept(desk)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        desk.engine.crowd = None
        stopped = until(desk, job.id, "paused")
        pipe.send((stopped.reason, stopped.n_done))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        desk.resume(job.id)
        until(desk, job.id, "done")
        pipe.send(desk.file(job.id).read_bytes())


@ON_LINUX
def test_a_full_disk_pauses_the_job_and_leaves_nothing_half_written(processes, tmp_path, uninterrupted):
    ours, theirs = processes.Pipe()
    process = processes.Process(target=fill_the_disk, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(60)
    reason, n_done = ours.recv()
    assert "Free some" in reason and n_done == 0
    assert not list(tmp_path.rglob("*.part"))
    assert ours.poll(60) and ours.recv() == uninterrupted
    process.join(10)


def test_a_disk_almost_full_is_noticed_before_it_is_full(tmp_path, monkeypatch):
    with desk_in(tmp_path) as desk:
        monkeypatch.setattr("backend.storage.take_files.shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
        stopped = until(desk, accept(desk).id, "paused")
        assert stopped.reason == "The disk has 1 MB left and 65 MB are needed. Free some space, then resume."
        monkeypatch.undo()
        desk.resume(stopped.id)
        until(desk, stopped.id, "done")


def test_a_job_over_the_quota_pauses(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.pipeline.longform.job_runner.QUOTA_EVERY_S", 0.0)
    with desk_in(tmp_path, limits=replace(LIMITS, quota_bytes=100_000)) as desk:
        job = until(desk, accept(desk).id, "paused")
        assert "DATA_QUOTA_MB" in job.reason and 0 < job.n_done < job.n_sentences


def test_the_same_seed_gives_the_same_book_and_another_seed_another(tmp_path, uninterrupted):
    assert read_whole(tmp_path / "a", seed=6) != uninterrupted == read_whole(tmp_path / "b")


@pytest.mark.parametrize("format", BOOK_FORMATS)
def test_every_format_holds_the_whole_sound(tmp_path, format):
    av = pytest.importorskip("av")
    with desk_in(tmp_path) as desk:
        job = until(desk, accept(desk, format=format, title="A Book", author="Ann").id, "done")
        with av.open(str(desk.file(job.id))) as file:
            length_s = sum(frame.samples for frame in file.decode(audio=0)) / file.streams.audio[0].rate
            chapters = [mark["metadata"]["title"] for mark in file.chapters()]
            told = dict(file.metadata)
        assert length_s == pytest.approx(job.file_audio_s, abs=0.1)
        if format == "m4b":
            assert chapters == [chapter.title for chapter in desk.chapters(job.id)] == ["One", "Two"]
            assert (told["title"], told["artist"]) == ("A Book", "Ann")


def test_a_chapter_without_sound_of_its_own_is_no_mark_in_the_file(tmp_path):
    av = pytest.importorskip("av")
    with desk_in(tmp_path) as desk:
        for words in ("Silent chapter.", "Nothing to say in this one, sorry."):
            desk.engine.refusals[words] = BadText("Nothing to speak.")
        parts = (
            ("Spoken one", "Some words."),
            ("Silent chapter", "Nothing to say in this one, sorry."),
            ("Spoken two", "Ends."),
        )
        text = "\n\n".join(f"# {title}\n\n{words}" for title, words in parts).encode()
        job = until(desk, accept(desk, text, "m4b").id, "done")
        with av.open(str(desk.file(job.id))) as file:
            assert [mark["metadata"]["title"] for mark in file.chapters()] == ["Spoken one", "Spoken two"]


def test_a_text_of_which_nothing_can_be_spoken_fails_with_the_reason(tmp_path):
    with desk_in(tmp_path) as desk:
        desk.engine.refusal = BadText("Nothing to speak.")
        assert "Nothing in the text could be spoken" in until(desk, accept(desk).id, "failed").reason


def test_jobs_give_way_while_somebody_waits(tmp_path):
    with desk_in(tmp_path) as desk:
        desk.engine.crowd = SimpleNamespace(active=1, waiting=1)
        job = accept(desk)
        time.sleep(0.3)
        assert not desk.engine.asked
        desk.engine.crowd = SimpleNamespace(active=0, waiting=0)
        until(desk, job.id, "done")
    assert set(desk.engine.clients) == {"jobs"}


def test_a_page_does_not_wait_for_a_book(tmp_path):
    page = SENTENCES[:3]
    with desk_in(tmp_path, limits=replace(LIMITS, n_rows=1)) as desk:
        desk.engine.crowd = SimpleNamespace(active=0, waiting=1)  # nothing begins before all are there
        books = [accept(desk, seed=seed) for seed in (1, 2)]
        short = accept(desk, "\n\n".join(page).encode(), seed=3)
        desk.engine.crowd = SimpleNamespace(active=0, waiting=0)
        for job in (*books, short):
            until(desk, job.id, "done")
        owner_of = {
            (one.heard.text, one.heard.seed): job.id for job in (*books, short) for one in desk.sentences(job.id)
        }  # fmt: skip
        turns = [owner_of[request.text, request.seed] for request in desk.engine.asked]
    assert len(turns) == len(page) + 2 * len(SENTENCES) + 4  # each book has two headings
    last = max(index for index, job in enumerate(turns) if job == short.id)
    assert last < 3 * len(page) + 2
    # And neither book waits for the other.
    both = [job for job in turns if job != short.id]
    assert all(abs(both[:n].count(books[0].id) - both[:n].count(books[1].id)) <= 2 for n in range(len(both)))


def test_a_full_queue_is_waited_for(tmp_path):
    with desk_in(tmp_path) as desk:
        desk.engine.refusal = Busy("The queue is full.", retry_after_s=0.05)
        job = accept(desk)
        while len(desk.engine.asked) < 3:
            time.sleep(0.01)
        assert desk.job(job.id).state in ("waiting", "speaking")
        desk.engine.refusal = None
        until(desk, job.id, "done")


def test_a_sentence_that_fails_three_times_pauses_the_job_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.pipeline.longform.job_runner.POLL_S", 0.01)
    with desk_in(tmp_path) as desk:
        desk.engine.refusals[SENTENCES[3]] = EngineFailure("The model lost its way.")
        job = until(desk, accept(desk).id, "paused")
        assert job.reason == "Sentence 4 failed 3 times: The model lost its way."
        assert sum(request.text == SENTENCES[3] for request in desk.engine.asked) == 3
        desk.engine.refusals.clear()
        desk.resume(job.id)
        until(desk, job.id, "done")


def test_another_model_does_not_go_on_unasked(tmp_path):
    with desk_in(tmp_path) as desk:
        desk.engine.crowd = SimpleNamespace(active=0, waiting=1)
        job = accept(desk)
    other = FakeEngine()
    other.model = "whistle"
    with desk_in(tmp_path, other) as desk:
        stopped = until(desk, job.id, "paused")
        assert "voice or the model is another" in stopped.reason and not desk.engine.asked
        desk.resume(job.id)
        until(desk, job.id, "done")


def test_a_damaged_sound_is_spoken_again(tmp_path, uninterrupted):
    with desk_in(tmp_path) as desk:
        job = until(desk, accept(desk).id, "done")
        sounds = sorted((tmp_path / "sounds").rglob("*.flac"))
        sounds[0].unlink()
        sounds[1].write_bytes(sounds[1].read_bytes()[:-50])
        n_asked = len(desk.engine.asked)
        take = desk.new_take(job.id, 5)
        while desk.take(job.id, 5, take.take).state != "done":
            time.sleep(0.01)
        desk.choose(job.id, 5, take.take)
        until(desk, job.id, "done")
        desk.choose(job.id, 5, 0)
        until(desk, job.id, "done")
        assert desk.file(job.id).read_bytes() == uninterrupted
        assert len(desk.engine.asked) == n_asked + 3


def test_only_the_chosen_sentence_changes_in_the_file(tmp_path):
    with desk_in(tmp_path) as desk:
        job = until(desk, accept(desk).id, "done")
        before, rate_hz = soundfile.read(desk.file(job.id), dtype="int16")
        take = desk.new_take(job.id, 8)
        while desk.take(job.id, 8, take.take).state != "done":
            time.sleep(0.01)
        desk.choose(job.id, 8, take.take)
        until(desk, job.id, "done")
        after, _ = soundfile.read(desk.file(job.id), dtype="int16")
        sentences = desk.sentences(job.id)
        start = round(sum(one.heard.duration_s + one.pause_s for one in sentences[:8]) * rate_hz)
        changed = np.nonzero(before != after)[0]
        assert start <= changed.min() and changed.max() < start + round(sentences[8].heard.duration_s * rate_hz)


def test_a_deleted_job_leaves_no_sound(tmp_path):
    with desk_in(tmp_path) as desk:
        first, second = accept(desk), accept(desk, BOOK + b"\n\nOne more sentence to be read.")
        until(desk, first.id, "done")
        until(desk, second.id, "done")
        desk.delete(first.id)
        assert len(list((tmp_path / "sounds").rglob("*.flac"))) == len(SENTENCES) + 3
        desk.delete(second.id)
        assert not [path for path in (tmp_path / "sounds").rglob("*") if path.is_file()]
        assert not list((tmp_path / "files").iterdir())
        with pytest.raises(JobConflict, match="shutting down"):
            desk.close()
            accept(desk)


def test_one_process_at_a_time_reads(tmp_path):
    first, second = ProcessLock(tmp_path / "lock"), ProcessLock(tmp_path / "lock")
    assert first.take() and first.take() and not second.take()
    first.release()
    assert second.take()
    second.release()


@pytest.mark.parametrize(
    ("content", "said"), [(b"SQLite format 3\0" + b"\xff" * 5000, "damaged"), (b"no database at all" * 100, "damaged")]
)
def test_a_damaged_database_is_told_and_stays_as_it_is(tmp_path, content, said):
    (tmp_path / "jobs.sqlite").write_bytes(content)
    with desk_in(tmp_path) as desk, pytest.raises(OutputError, match=said):
        desk.jobs()
    assert (tmp_path / "jobs.sqlite").read_bytes() == content


def test_jobs_of_a_later_version_are_left_alone(tmp_path):
    import sqlite3

    with desk_in(tmp_path) as desk:
        accept(desk)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with desk_in(tmp_path) as desk, pytest.raises(OutputError, match="later version"):
        desk.jobs()
