"""Jobs that read a short book with a fake engine, here or in a separate process that can be killed."""

import time
from contextlib import contextmanager

from backend.pipeline.longform.job_service import JobLimits, JobService
from backend.storage.job_models import SpeechParams
from tests.support.fake_engine import FakeEngine

SENTENCES = [f"This is sentence number {number} of the book, and it is spoken." for number in range(24)]
BOOK = "\n\n".join(["# One", *SENTENCES[:12], "# Two", *SENTENCES[12:]]).encode()
LIMITS = JobLimits(max_chars=100_000, max_jobs=10, quota_bytes=2**40, n_rows=2)
PARAMS = SpeechParams(loudness_lufs=None)


class SlowEngine(FakeEngine):
    """Sleeps before every sentence."""

    def __init__(self, sentence_s=0.0):
        super().__init__()
        self.sentence_s = sentence_s

    def begin(self, request, client=""):
        time.sleep(self.sentence_s)
        return super().begin(request, client)


@contextmanager
def job_service_in(folder, engine=None, limits=LIMITS):
    """A job service that resumes the jobs in `folder` with `service.engine`."""
    engine = engine or FakeEngine()
    service = JobService(folder, lambda: engine, limits)
    service.engine = engine
    service.start()
    try:
        yield service
    finally:
        service.close()


def accept(service, content=BOOK, format="wav", **fields):
    return service.create(content, "markdown", **{"format": format, "seed": 5, "delivery": PARAMS, **fields})


def until(service, job_id, *states, timeout_s=60.0):
    """Wait until the job is in one of the states and no sentence is in progress."""
    end_s = time.monotonic() + timeout_s
    while (job := service.job(job_id)).state not in states or service.speaking(job_id):
        assert time.monotonic() < end_s, f"the job is {job.state} ({job.reason}), not {states}"
        time.sleep(0.01)
    return job


def read_until_killed(folder, pipe, sentence_s):
    """Create the job if there is none, send its id, and run it."""
    with job_service_in(folder, SlowEngine(sentence_s)) as service:
        jobs = service.jobs()
        job = jobs[0] if jobs else accept(service)
        pipe.send(job.id)
        until(service, job.id, "done")
        pipe.send("done")
