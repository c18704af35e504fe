"""The dashboard's readings: what the backend tells, what it leaves out, and what two looks say together."""

from tests.support.fake_engine import FakeEngine
from tests.support.served import served
from ui.client import BackendClient
from ui.readings import History, reading_of

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


def test_reading_holds_what_the_engine_tells():
    now = reading_of({"engine": ENGINE}, 10.0)
    assert (now.model, now.done, now.waiting, now.active, now.rows) == ("hum", 4, 2, 3, 8)
    assert (now.first_audio_p50_ms, now.first_audio_last_ms, now.rtf_p50) == (80, 100, 0.3)
    assert (now.cpu_percent, now.machine_memory_percent) == (75, 25)
    assert (now.card_percent, now.card_memory_percent) == (40, 25)


def test_what_is_not_told_is_unknown_and_not_zero():
    nothing = reading_of({"engine": None}, 10.0)
    assert {getattr(nothing, name) for name in nothing.__slots__ if name != "when_s"} == {None}
    silent = ENGINE | {"counts": {"done": 0, "rtf": {"count": 0, "p50": 0.0}}, "card": None}
    reading = reading_of({"engine": silent}, 10.0)
    assert (reading.done, reading.rtf_p50, reading.first_audio_p50_ms, reading.card_percent) == (0, None, None, None)


def test_frames_a_second_are_counted_between_two_looks():
    before = reading_of({"engine": ENGINE}, 10.0)
    later = ENGINE | {"batch": {"frames": 590}}
    assert before.frames_per_s is None
    assert reading_of({"engine": later}, 12.0, before).frames_per_s == 45
    restarted = ENGINE | {"batch": {"frames": 3}}
    assert reading_of({"engine": restarted}, 12.0, before).frames_per_s == 0


def test_two_visitors_ask_the_backend_once():
    history = History()
    with served(FakeEngine()) as url:
        asking = BackendClient(url)
        assert len(history.look(asking)) == len(history.look(asking)) == 1
    assert history.look(asking)[-1].model == "hum"
