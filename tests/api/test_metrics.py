"""`GET /metrics`: the numbers are those of what was done."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

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


def test_json_says_the_same(http):
    http.post("/tts", json={"text": "x" * 100})
    for kind in ({"params": {"format": "json"}}, {"headers": {"Accept": "application/json"}}):
        measures = http.get("/metrics", **kind).json()
        assert measures["phonogram_audio_seconds_total"] == pytest.approx(2.0)
        assert measures["phonogram_frames_total"] == 25
        assert {"outcome": "done", "value": 1.0} in measures["phonogram_speeches_total"]
        assert measures["engine"]["model"] == "hum"
    text = http.get("/metrics", headers={"Accept": "application/json"}, params={"format": "prometheus"})
    assert text.headers["content-type"].startswith("text/plain")


def test_strangers_cannot_fill_the_registry_with_names(http):
    n_names = []
    for n in range(20):
        http.get(f"/nothing-{n}")
        http.delete(f"/voices/nobody-{n}")
        n_names.append(len(samples(http)))
    assert n_names[1] == n_names[-1]
    assert samples(http)["phonogram_requests_total", "404", "any", "unmatched"] == 20


def test_two_applications_do_not_add_up():
    with asked_here() as one, asked_here() as two:
        one.post("/tts", json={"text": "x"})
        assert samples(two)["phonogram_speeches_total", "done"] == 0
