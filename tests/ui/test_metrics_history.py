"""Samples of the backend's metrics: reported values, missing values, and rates between two samples."""

from tests.support.fake_engine import FakeEngine
from tests.support.served import served
from ui.client import BackendClient
from ui.metrics_history import MetricsHistory, sample_of

ENGINE = {
    "model": "hum",
    "batch": {"frames": 500, "waiting": 2, "active": 3, "rows": 8},
    "counts": {
        "done": 4, "failed": 1, "refused": 0, "audio_s": 12.5,
        "first_audio_s": {"count": 4, "p50": 0.08, "p95": 0.2, "last": 0.1}, "rtf": {"count": 4, "p50": 0.3},
    },
    "process": {
        "cpu_percent": 150.0, "cores": 2, "memory_mb": 640.0,
        "machine_memory_used_mb": 250.0, "machine_memory_total_mb": 1000.0,
    },
    "card": {"load_percent": 40.0, "memory_used_mb": 20.0, "memory_total_mb": 80.0},
}  # fmt: skip


def test_sample_holds_the_reported_values():
    sample = sample_of({"engine": ENGINE}, 10.0)
    assert (sample.model, sample.done, sample.waiting, sample.active, sample.rows) == ("hum", 4, 2, 3, 8)
    assert (sample.first_audio_p50_ms, sample.first_audio_last_ms, sample.rtf_p50) == (80, 100, 0.3)
    assert (sample.cpu_percent, sample.machine_memory_percent) == (75, 25)
    assert (sample.gpu_percent, sample.gpu_memory_percent) == (40, 25)


def test_missing_values_are_none_and_not_zero():
    nothing = sample_of({"engine": None}, 10.0)
    assert {getattr(nothing, name) for name in nothing.__slots__ if name != "time_s"} == {None}
    silent = ENGINE | {"counts": {"done": 0, "rtf": {"count": 0, "p50": 0.0}}, "card": None}
    idle = sample_of({"engine": silent}, 10.0)
    assert (idle.done, idle.rtf_p50, idle.first_audio_p50_ms, idle.gpu_percent) == (0, None, None, None)


def test_frames_per_second_are_computed_between_two_samples():
    previous = sample_of({"engine": ENGINE}, 10.0)
    later = ENGINE | {"batch": {"frames": 590}}
    assert previous.frames_per_s is None
    assert sample_of({"engine": later}, 12.0, previous).frames_per_s == 45
    restarted = ENGINE | {"batch": {"frames": 3}}
    assert sample_of({"engine": restarted}, 12.0, previous).frames_per_s == 0


def test_two_visitors_share_one_sample():
    history = MetricsHistory()
    with served(FakeEngine()) as url:
        client = BackendClient(url)
        assert len(history.update(client)) == len(history.update(client)) == 1
    assert history.update(client)[-1].model == "hum"
