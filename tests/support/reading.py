"""A book that is read by an engine that hums, here or in a process of its own that can be killed."""

import time
from contextlib import contextmanager

from backend.pipeline.longform.job_service import JobLimits, JobService
from backend.storage.job_models import SpeechParams
from tests.support.fake_engine import FakeEngine

SENTENCES = [f"This is sentence number {number} of the book, and it is spoken." for number in range(24)]
BOOK = "\n\n".join(["# One", *SENTENCES[:12], "# Two", *SENTENCES[12:]]).encode()
LIMITS = JobLimits(max_chars=100_000, max_jobs=10, quota_bytes=2**40, n_rows=2)
HUMMED = SpeechParams(loudness_lufs=None)


class SlowEngine(FakeEngine):
    """Takes its time for every sentence."""

    def __init__(self, sentence_s=0.0):
        super().__init__()
        self.sentence_s = sentence_s

    def begin(self, request, client=""):
        time.sleep(self.sentence_s)
        return super().begin(request, client)


@contextmanager
def desk_in(folder, engine=None, limits=LIMITS):
    """A desk that goes on with what is in `folder`; `desk.engine` speaks."""
    engine = engine or FakeEngine()
    desk = JobService(folder, lambda: engine, limits)
    desk.engine = engine
    desk.start()
    try:
        yield desk
    finally:
        desk.close()


def accept(desk, content=BOOK, format="wav", **fields):
    return desk.create(content, "markdown", **{"format": format, "seed": 5, "delivery": HUMMED, **fields})


def until(desk, job_id, *states, timeout_s=60.0):
    """The job once it is in one of the states and none of its sentences is being spoken any more."""
    end_s = time.monotonic() + timeout_s
    while (job := desk.job(job_id)).state not in states or desk.speaking(job_id):
        assert time.monotonic() < end_s, f"the job is {job.state} ({job.reason}), not {states}"
        time.sleep(0.01)
    return job


def read_until_killed(folder, pipe, sentence_s):
    """Accept the book if there is none, tell its id, and read."""
    with desk_in(folder, SlowEngine(sentence_s)) as desk:
        jobs = desk.jobs()
        job = jobs[0] if jobs else accept(desk)
        pipe.send(job.id)
        until(desk, job.id, "done")
        pipe.send("done")
