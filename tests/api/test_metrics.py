"""`GET /metrics` and the playback clock behind its latencies and underruns."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.api.metrics import PlaybackClock
from backend.errors import Busy
from tests.support.served import asked_here


@pytest.fixture
def http():
    with asked_here() as client:
        yield client


def samples(http):
    text = http.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_speeches_are_counted_with_their_times(http):
    http.post("/tts", json={"text": "x" * 100})
    http.post("/tts", json={"text": "x" * 50, "streaming": True})
    http.post("/tts", json={"text": ""})
    http.engine.refusal = Busy("Full.", retry_after_s=1)
    http.post("/tts", json={"text": "x"})
    found = samples(http)
    assert found["phonogram_speeches_total", "done"] == 2
    assert found["phonogram_speeches_total", "refused"] == 1
    assert found["phonogram_audio_seconds_total",] == pytest.approx(3.0)
    assert found["phonogram_frames_total",] == 50
    assert found["phonogram_first_audio_seconds_count",] == 2
    assert 0 < found["phonogram_first_audio_seconds_sum",] <= found["phonogram_speech_seconds_sum",] < 5
    assert found["phonogram_stage_seconds_sum", "semantic"] == pytest.approx(0.8)
    assert found["phonogram_open_speeches",] == 0
    assert found["phonogram_requests_total", "/tts", "200", "POST"] == 2
    assert found["phonogram_requests_total", "/tts", "400", "POST"] == 1
    assert found["phonogram_requests_total", "/tts", "429", "POST"] == 1
    assert found["phonogram_engine_caches_references_entries",] == 2


def test_json_has_the_same_values(http):
    http.post("/tts", json={"text": "x" * 100})
    for kind in ({"params": {"format": "json"}}, {"headers": {"Accept": "application/json"}}):
        metrics = http.get("/metrics", **kind).json()
        assert metrics["phonogram_audio_seconds_total"] == pytest.approx(2.0)
        assert metrics["phonogram_frames_total"] == 25
        assert {"outcome": "done", "value": 1.0} in metrics["phonogram_speeches_total"]
        assert metrics["engine"]["model"] == "hum"
    text = http.get("/metrics", headers={"Accept": "application/json"}, params={"format": "prometheus"})
    assert text.headers["content-type"].startswith("text/plain")


def test_unknown_paths_do_not_create_label_values(http):
    n_names = []
    for n in range(20):
        http.get(f"/nothing-{n}")
        http.delete(f"/voices/nobody-{n}")
        n_names.append(len(samples(http)))
    assert n_names[1] == n_names[-1]
    assert samples(http)["phonogram_requests_total", "404", "any", "unmatched"] == 20


def test_two_applications_have_separate_registries():
    with asked_here() as one, asked_here() as two:
        one.post("/tts", json={"text": "x"})
        assert samples(two)["phonogram_speeches_total", "done"] == 0


def clock_after(*chunks, arrived_s=100.0):
    """A playback clock after chunks of (time since the request, duration)."""
    playback = PlaybackClock(arrived_s)
    for at_s, duration_s in chunks:
        playback.sent(duration_s, arrived_s + at_s)
    return playback


def test_chunks_in_time_cause_no_underrun():
    playback = clock_after((0.3, 0.5), (0.7, 0.5), (1.3, 0.5))
    assert (playback.n_underruns, playback.underrun_s) == (0, 0.0)
    assert playback.first_audio_s == pytest.approx(0.3) and playback.total_s == pytest.approx(1.3)


def test_late_chunk_counts_as_underrun_and_delays_the_following_ones():
    # Runs out at 0.8 and again at 1.5 + 0.5, where the last chunk is 0.1 late.
    playback = clock_after((0.3, 0.5), (1.5, 0.5), (2.1, 0.5))
    assert playback.n_underruns == 2
    assert playback.underrun_s == pytest.approx(0.7 + 0.1) and playback.longest_underrun_s == pytest.approx(0.7)


def test_inaudible_gaps_are_not_counted():
    assert clock_after((0.3, 0.5), (0.815, 0.5)).n_underruns == 0


def test_ahead_is_the_unplayed_audio():
    playback = clock_after((0.3, 0.5), (0.4, 0.5))
    assert playback.ahead_s(100.5) == pytest.approx(0.8)
    assert playback.ahead_s(105.0) == 0.0
    assert PlaybackClock(0.0).ahead_s(1.0) == 0.0
