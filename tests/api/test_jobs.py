"""`/jobs` over HTTP with the client of the web pages: create, follow, review and download."""

import io
import threading
import time

import numpy as np
import pytest
import soundfile

from backend.errors import BadText
from tests.support.books import epub
from tests.support.fake_engine import RATE_HZ, FakeEngine
from tests.support.served import asked_here, served
from ui.client import BackendClient, BackendError

TEXT = "# One\n\nHello there, my good friend. How are you doing today, sir?\n\n# Two\n\nIt goes on and on and on."
N_SENTENCES = 5
OPTIONS = {"format": "wav", "seed": 3, "loudness_lufs": None}


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """A client of a real server, and the engine behind it."""
    engine = FakeEngine()
    with served(engine, data_dir=str(tmp_path_factory.mktemp("data")), max_book_chars=3000) as url:
        client = BackendClient(url)
        client.engine = engine
        yield client
        client.close()


def done(client, job_id):
    for found in client.follow_job(job_id):
        if found["type"] == "job" and found["state"] in ("done", "failed"):
            return found
    raise AssertionError("the job did not end")


def read(content):
    return soundfile.read(io.BytesIO(content), dtype="int16")[0]


def test_job_is_created_followed_and_downloaded(backend):
    job = backend.create_job(TEXT, options=OPTIONS)
    told = list(backend.follow_job(job["id"]))
    assert {found["index"] for found in told if found["type"] == "sentence"} == set(range(N_SENTENCES))
    assert told[-1]["state"] == "done" and told[-1]["n_done"] == N_SENTENCES
    found = backend.job(job["id"])
    assert [chapter["title"] for chapter in found["chapters"]] == ["One", "Two"]
    assert [sentence["chapter"] for sentence in found["sentences"]] == [0, 0, 0, 1, 1]
    samples = read(backend.job_audio(job["id"]))
    assert len(samples) / RATE_HZ == pytest.approx(found["file_audio_s"])
    pauses_s = sum(sentence["pause_s"] for sentence in found["sentences"])
    assert found["file_audio_s"] == pytest.approx(found["audio_s"] + pauses_s)
    start = round(found["chapters"][1]["start_s"] * RATE_HZ)
    assert not samples[start - 800 : start].any() and samples[start + 80 : start + 300].any()


def test_document_upload_uses_its_title(backend):
    book = epub({"a.xhtml": "<h1>A</h1><p>Some words of it.</p>"}, [("A", "a.xhtml")], title="Of Words")
    job = backend.create_job(document=book, options=OPTIONS)
    assert job["title"] == "Of Words" and done(backend, job["id"])["state"] == "done"
    assert any(one["id"] == job["id"] for one in backend.jobs())


def test_reconnected_event_stream_sends_only_new_events(backend):
    job = backend.create_job(TEXT, options=OPTIONS)
    last = done(backend, job["id"])
    told = list(backend.follow_job(job["id"], since=last["revision"]))
    assert [found["type"] for found in told] == ["job"]


def test_new_take_leaves_other_sentences_bit_identical(backend):
    job = backend.create_job(TEXT, options=OPTIONS)
    done(backend, job["id"])
    before, found = read(backend.job_audio(job["id"])), backend.job(job["id"])["sentences"][2]
    take = backend.new_take(job["id"], 2, text="How are you, sir, on this lovely day?")
    assert take["state"] == "done" and take["take"] == 1
    assert backend.job(job["id"])["sentences"][2]["take"] == 0, "a new take is not chosen by itself"
    assert backend.choose_take(job["id"], 2, 1)["text"] == take["text"]
    assert done(backend, job["id"])["state"] == "done"
    after = read(backend.job_audio(job["id"]))
    sentences = backend.job(job["id"])["sentences"]
    start = round(sum(one["duration_s"] + one["pause_s"] for one in sentences[:2]) * RATE_HZ)
    n_before, n_after = (round(one["duration_s"] * RATE_HZ) for one in (found, take))
    np.testing.assert_array_equal(after[:start], before[:start])
    np.testing.assert_array_equal(after[start + n_after :], before[start + n_before :])
    assert n_before != n_after and after[start : start + n_after].any()
    backend.choose_take(job["id"], 2, 0)
    done(backend, job["id"])
    np.testing.assert_array_equal(read(backend.job_audio(job["id"])), before)


def test_takes_can_be_listened_to(backend):
    job = backend.create_job(TEXT, options=OPTIONS)
    done(backend, job["id"])
    take = backend.new_take(job["id"], 1, seed=99)
    assert take["seed"] == 99
    first, second = (backend.sentence_audio(job["id"], 1, number) for number in (0, 1))
    assert first[:4] == second[:4] == b"fLaC" and first != second
    assert backend.sentence_audio(job["id"], 1) == first


def test_cached_text_is_not_synthesized_again(backend):
    first = backend.create_job(TEXT, options={**OPTIONS, "seed": 41})
    done(backend, first["id"])
    n_asked = len(backend.engine.asked)
    second = backend.create_job(TEXT + "\n\nOne more sentence at the end.", options={**OPTIONS, "seed": 41})
    done(backend, second["id"])
    assert len(backend.engine.asked) == n_asked + 1
    backend.delete_job(first["id"])
    backend.choose_take(second["id"], 0, backend.new_take(second["id"], 0)["take"])
    assert done(backend, second["id"])["state"] == "done", "a job lost the sound it shared with a deleted one"


def test_pause_resume_and_cancel(backend):
    engine = backend.engine
    engine.go_on.clear()
    engine.pause_after_samples = 0
    try:
        job = backend.create_job(TEXT, options={**OPTIONS, "seed": 50})["id"]
        assert engine.paused.wait(10)
        assert backend.pause_job(job)["state"] == "paused"
        engine.pause_after_samples = 2**62
        engine.go_on.set()
        deadline_s = time.monotonic() + 10
        while any(one["state"] == "speaking" for one in backend.job(job)["sentences"]):
            assert time.monotonic() < deadline_s
        n_done = backend.job(job)["n_done"]
        assert 0 < n_done < N_SENTENCES, "sentences that were being spoken are finished, no others begun"
        with pytest.raises(BackendError, match="409.*is paused, so it has no file yet"):
            backend.job_audio(job)
        assert backend.resume_job(job)["state"] in ("waiting", "speaking")
        assert done(backend, job)["state"] == "done"
        engine.go_on.clear()
        engine.paused.clear()
        engine.pause_after_samples = 0
        job = backend.create_job(TEXT, options={**OPTIONS, "seed": 51})["id"]
        assert engine.paused.wait(10)
        n_cancelled = engine.n_cancelled
        assert backend.cancel_job(job)["state"] == "cancelled"
        while engine.n_cancelled == n_cancelled:
            assert time.monotonic() < deadline_s + 10
        with pytest.raises(BackendError, match="cannot become waiting"):
            backend.resume_job(job)
        with pytest.raises(BackendError, match="was cancelled"):
            backend.new_take(job, 0)
    finally:
        engine.pause_after_samples = 2**62
        engine.go_on.set()


def test_new_take_runs_ahead_of_the_queue(backend):
    backend.engine.go_on.clear()
    backend.engine.paused.clear()
    backend.engine.pause_after_samples = 0
    n_before = len(backend.engine.asked)
    job = backend.create_job(TEXT, options={**OPTIONS, "seed": 60})["id"]
    deadline_s = time.monotonic() + 10
    while len(backend.engine.asked) < n_before + 2:  # as many as are spoken at a time
        assert time.monotonic() < deadline_s
    takes = []
    asking = threading.Thread(target=lambda: takes.append(backend.new_take(job, 4)))
    asking.start()
    while len(backend.job(job)["sentences"][4]["takes"]) < 2:
        assert time.monotonic() < deadline_s
    backend.engine.pause_after_samples = 2**62
    backend.engine.go_on.set()
    asking.join(10)
    done(backend, job)
    later = [sentence["takes"][0]["seed"] for sentence in backend.job(job)["sentences"][3:]]
    order = [request.seed for request in backend.engine.asked]
    # Two sentences were begun before, and one more may begin together with it.
    assert takes[0]["state"] == "done" and all(order.index(takes[0]["seed"]) < order.index(seed) for seed in later)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"format": "avi"}, 400), ({"seed": -1}, 400), ({"speed": 9}, 400), ({"tempo": 1}, 400),
        ({"voice": "nobody"}, 404), ({"kind": "pdf"}, 400), ({"kind": "epub"}, 400),
    ],
)  # fmt: skip
def test_invalid_jobs_are_rejected_and_not_stored(backend, options, status):
    n_jobs = len(backend.jobs())
    with pytest.raises(BackendError, match=f"returned {status}"):
        backend.create_job(TEXT, options={**OPTIONS, **options})
    assert len(backend.jobs()) == n_jobs


def test_texts_that_are_empty_or_too_long_are_refused(backend):
    for text, status in (("  ", 400), ("* * *", 400), ("long " * 700, 413)):
        with pytest.raises(BackendError, match=f"returned {status}"):
            backend.create_job(text, options=OPTIONS)
    with pytest.raises(BackendError, match="Send one of them"):
        backend.create_job("Both", document=b"of them", options=OPTIONS)


def test_unknown_jobs_sentences_and_takes_are_404(backend):
    job = backend.create_job(TEXT, options=OPTIONS)["id"]
    done(backend, job)
    for ask in (
        lambda: backend.job("0" * 32), lambda: backend.job("../../etc"), lambda: backend.pause_job("x"),
        lambda: list(backend.follow_job("0" * 32)), lambda: backend.sentence_audio(job, 99),
        lambda: backend.sentence_audio(job, 0, 7), lambda: backend.choose_take(job, 0, 7),
    ):  # fmt: skip
        with pytest.raises(BackendError, match="404"):
            ask()


def test_unspeakable_sentence_is_skipped_and_reported(backend):
    backend.engine.refusals["And nothing to be heard here."] = BadText("Not spoken: it is all pictures.")
    job = backend.create_job("Some words of it are here. And nothing to be heard here.", options=OPTIONS)["id"]
    assert done(backend, job)["state"] == "done"
    skipped = backend.job(job)["sentences"][1]
    assert (skipped["state"], skipped["reason"]) == ("skipped", "Not spoken: it is all pictures.")


def test_job_count_is_limited_and_deleting_frees_one(tmp_path):
    with asked_here(data_dir=str(tmp_path), max_jobs=2) as http:
        ids = [http.post("/jobs", json={"text": "Words.", "format": "wav"}).json()["id"] for _ in range(2)]
        refused = http.post("/jobs", json={"text": "Words.", "format": "wav"})
        assert refused.status_code == 409 and "MAX_JOBS" in refused.json()["message"]
        assert http.delete(f"/jobs/{ids[0]}").status_code == 204
        assert http.post("/jobs", json={"text": "Words.", "format": "wav"}).status_code == 201


def test_nothing_is_written_before_the_first_job(tmp_path):
    with asked_here(data_dir=str(tmp_path)) as http:
        assert http.get("/jobs").json() == {"jobs": []}
        assert http.get(f"/jobs/{'0' * 32}").status_code == 404
    assert not list(tmp_path.iterdir())
