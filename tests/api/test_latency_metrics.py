"""Latency metrics of the server equal those that a client measures."""

import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fake_engine import FakeEngine, FakeStream
from tests.support.served import served

PIECE_S = 0.1
N_SPEECHES = 4
LEAST_GAP_S = 0.02


class SlowStream(FakeStream):
    """The first sound after 0.4 s, the third piece 0.5 s late."""

    def __iter__(self):
        for index, piece in enumerate(super().__iter__()):
            time.sleep({0: 0.4, 3: 0.5 + 3 * PIECE_S}.get(index, 0.0))
            yield piece


class SlowEngine(FakeEngine):
    def begin(self, request, client=""):
        super().begin(request, client)
        return SlowStream(self, request)


def measures_of(http):
    families = text_string_to_metric_families(http.get("/metrics").text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def listen(http):
    """Seconds to the first sound, to the end, of silence in between; and of sound."""
    arrived_s = time.perf_counter()
    first_s = runs_out_s = None
    silence_s = n_bytes = 0
    body = {"text": "x" * 50, "streaming": True, "format": "pcm"}
    with http.stream("POST", "/tts", json=body) as answer:
        for piece in answer.iter_raw():
            now_s = time.perf_counter()
            first_s, runs_out_s = first_s or now_s, runs_out_s or now_s
            if now_s - runs_out_s > LEAST_GAP_S:
                silence_s += now_s - runs_out_s
            runs_out_s = max(runs_out_s, now_s) + len(piece) / 2 / 8000
            n_bytes += len(piece)
    end_s = time.perf_counter()
    return first_s - arrived_s, end_s - arrived_s, silence_s, n_bytes / 2 / 8000


@pytest.mark.load
def test_server_metrics_equal_client_measurements_within_five_percent():
    with served(SlowEngine()) as url, httpx.Client(base_url=url, trust_env=False) as http:
        http.get("/health")
        heard = [listen(http) for _ in range(N_SPEECHES)]
        told = measures_of(http)
        rows = http.get("/requests").json()["requests"]
    first_s, total_s, silence_s, audio_s = (sum(values) for values in zip(*heard, strict=True))
    assert silence_s > N_SPEECHES * 0.4, "the trial itself must have underruns"
    assert told["phonogram_first_audio_seconds_sum"] == pytest.approx(first_s, rel=0.05)
    assert told["phonogram_speech_seconds_sum"] == pytest.approx(total_s, rel=0.05)
    assert told["phonogram_underrun_seconds_total"] == pytest.approx(silence_s, rel=0.05)
    assert told["phonogram_underruns_total"] == told["phonogram_longest_underrun_seconds_count"] == N_SPEECHES
    assert told["phonogram_audio_seconds_total"] == pytest.approx(audio_s, rel=0.001)
    rtf = sum(total / audio for _, total, _, audio in heard)
    assert told["phonogram_real_time_factor_sum"] == pytest.approx(rtf, rel=0.05)
    assert sum(row["first_audio_s"] for row in rows) == pytest.approx(first_s, rel=0.05)
