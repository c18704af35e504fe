"""Malicious bytes in every binary field cause no internal error, no hang and bounded memory."""

import asyncio
import io
import resource
import time

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.api.middleware.body_limit import FREE_BYTES, BodyLimitMiddleware
from backend.audio.files import encode_audio
from backend.audio.waveform import Waveform
from backend.errors import Busy
from backend.opt_engine import OptimizedEngine
from tests.support.error_leaks import INTERNALS, without_echo
from tests.support.served import asked_here
from tests.support.small_engine import open_small, settings_in
from tests.support.small_model import small_model
from tests.support.trial import sized, tell
from tests.support.uploads import bad_bytes, good_files, uploads_of

MB = 2**20
# Hang guards, far above what any answer takes; the first lossless request compiles its kernel.
LIMIT_S, HANG_S = 120.0, 300.0
MAX_AUDIO_S = 20.0
# What one request may add to the most memory this process ever had; decoded sound is limited to 20 s here.
MAX_GROWTH_BYTES = 400 * 2**20
CODES_HASH = "0" * 32

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(
    max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)  # fmt: skip


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    changes = {"max_audio_s": MAX_AUDIO_S, "max_upload_mb": 4}
    engine = OptimizedEngine(
        settings_in(tmp_path_factory.mktemp("data"), **changes),
        lambda settings, device: open_small(settings, device, CODES_HASH),
    )
    with asked_here(engine, **changes) as client:
        yield client


@pytest.fixture(scope="module")
def good():
    return good_files(small_model()[1].spec, CODES_HASH)


@pytest.fixture(scope="module")
def places(http):
    return uploads_of(http.get("/openapi.json").json())


def ask(http, place, content, name):
    started_s, worked_s = time.perf_counter(), time.process_time()
    answer = place.send(http, content, name)
    took_s, worked_s = time.perf_counter() - started_s, time.process_time() - worked_s
    assert answer.status_code < 500 or answer.status_code == 501, (str(place), answer.text)
    assert worked_s < LIMIT_S and took_s < HANG_S, (str(place), worked_s, took_s)
    if answer.status_code >= 400:
        assert not INTERNALS.search(without_echo(answer.text)), answer.text
    return answer


def check_all(http, good, places, how):
    most_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for place in places:

        @how
        @given(seed=SEEDS)
        def check(seed):
            ask(http, place, bad_bytes(good, seed), f"v{seed}")  # noqa: B023

        check()
    for voice in http.get("/voices").json()["voices"]:
        http.delete(f"/voices/{voice['id']}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - most_before < MAX_GROWTH_BYTES


def test_all_binary_fields_are_discovered(places):
    named = {(place.method, place.path, place.content_type) for place in places}
    assert ("POST", "/tts", "application/json") in named
    assert ("POST", "/tts", "multipart/form-data") in named
    assert ("POST", "/voices", "multipart/form-data") in named


def test_good_bytes_arrive_in_every_place(http, good, places):
    # Otherwise the damaged bytes would only reach endpoints that reject them anyway.
    statuses = {
        str(place): {ask(http, place, content, f"n{i}").status_code for i, content in enumerate(good)}
        for place in places
    }
    shut = {place: found for place, found in statuses.items() if min(found) >= 300}
    # These two take names, and none of the good files holds the right ones.
    assert {place.split()[1] for place in shut} <= {"/v1/references/delete", "/v1/references/update"}, shut


def test_damaged_bytes_are_rejected_or_used_in_every_field(http, good, places):
    check_all(http, good, places, QUICK)


@pytest.mark.slow
def test_many_damaged_bytes_are_refused_or_used(http, good, places):
    n_each = sized(40, 400)
    started_s = time.perf_counter()
    check_all(http, good, places, settings(parent=QUICK, max_examples=n_each))
    took_s = round(time.perf_counter() - started_s)
    tell("damaged uploads", places=len(places), requests=n_each * len(places), faults=0, took_s=took_s)


@pytest.mark.parametrize("container", ["flac", "ogg", "opus", "mp3"])
def test_decompression_bomb_is_rejected_by_every_audio_field(http, places, container):
    silence = Waveform(np.zeros((1, 8000 * int(MAX_AUDIO_S + 40)), np.float32), 8000)
    content = encode_audio(silence, container)
    assert len(content) < silence.samples.nbytes / 3
    for place in places:
        if place.field in ("audio", "reference_audio", "references", "audio_sample"):
            answer = ask(http, place, content, "bomb")
            assert answer.status_code in (400, 413), (str(place), answer.status_code)


def test_multichannel_recording_adds_one_voice(http, places):
    wide = io.BytesIO()
    soundfile.write(wide, np.zeros((2000, 64), np.float32), 768_000, "PCM_U8", format="WAV")
    for place in places:
        if place.field in ("audio", "reference_audio"):
            assert ask(http, place, wide.getvalue(), "wide").status_code < 300


class Uploader:
    """One request through the limit: what it has sent stays there until it leaves."""

    def __init__(self, limit, n_announced):
        self.pieces = asyncio.Queue()
        headers = [(b"content-length", b"%d" % n_announced)]
        self.task = asyncio.ensure_future(limit({"type": "http", "headers": headers}, self.pieces.get, None))

    async def send(self, n_bytes):
        self.pieces.put_nowait({"type": "http.request", "body": bytes(n_bytes), "more_body": True})
        await asyncio.sleep(0.01)

    async def leave(self):
        self.pieces.put_nowait({"type": "http.disconnect"})
        await self.task


def test_total_uploads_are_limited_and_small_requests_pass():
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    async def crowd():
        limit = BodyLimitMiddleware(app, 2 * MB, 3 * MB)
        first, second = Uploader(limit, 2 * MB), Uploader(limit, 0)
        for one in (first, second):
            await one.send(14 * MB // 10)
        assert limit.held_bytes == pytest.approx(2.8 * MB, abs=3 * FREE_BYTES)
        third = Uploader(limit, MB)  # told before any of it is read
        with pytest.raises(Busy, match="UPLOAD_BUDGET_MB"):
            await third.task
        small = Uploader(limit, FREE_BYTES)
        await small.send(FREE_BYTES)
        await small.leave()
        await second.send(MB // 2)
        with pytest.raises(Busy):  # what nobody announced is counted, too
            await second.task
        await Uploader(limit, MB).leave()
        await first.leave()
        assert limit.held_bytes == 0

    asyncio.run(crowd())


def test_excess_upload_gets_retry_after():
    with asked_here(max_upload_mb=2, upload_budget_mb=1) as client:
        found = client.app.middleware_stack
        while not isinstance(found, BodyLimitMiddleware):
            found = found.app
        assert found.total_bytes == 2 * MB, "one body always fits"
        found.held_bytes = 2 * MB
        answer = client.post("/codec/encode", content=bytes(MB), headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert client.post("/tts", json={"text": "Small ones pass."}).status_code == 200
