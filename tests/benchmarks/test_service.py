"""The service benchmark against a fake engine of known speed."""

import asyncio
import itertools

from backend.runtime.request import SpeechRequest
from benchmarks import service
from tests.support.fake_engine import FakeEngine
from tests.support.served import served


def test_every_prompt_is_new():
    prompts = list(itertools.islice(service.unique_prompts(), 500))
    assert len(set(prompts)) == 500 and min(map(len, prompts)) > 20


def test_rows_count_audio_at_the_response_rate(monkeypatch):
    monkeypatch.setattr(service, "CONCURRENCY", (1, 2))
    monkeypatch.setattr(service, "HEALTH_CLIENTS", (0, 1))
    monkeypatch.setattr(service, "HEALTH_S", 0.5)
    monkeypatch.setenv("SERVICE_REQUESTS", "1")
    engine = FakeEngine()
    with served(engine) as url:
        rows = asyncio.run(service.measure(url, service.unique_prompts()))
    rows, health = rows[:3], rows[3:]
    assert [row["name"] for row in rows] == ["1 at a time", "2 at a time", "Poisson arrivals"]
    assert all(
        row["name"].startswith("health, ") and 0 < row["health_p50_ms"] <= row["health_p95_ms"] for row in health
    )
    # One warm-up request, then two, two, and the arrivals.
    n_poisson = rows[2]["requests"]
    assert [row["requests"] for row in rows] == [2, 2, n_poisson] and len(engine.asked) >= 5 + n_poisson
    texts = [request.text for request in engine.asked]
    assert len(set(texts)) == len(texts)
    wanted_s = sum(len(text) for text in texts[1:3]) * 160 / 8000
    assert abs(rows[0]["audio_s"] - wanted_s) < 0.06
    assert rows[0]["share_without_gap_over_100_ms"] == 1.0 and rows[0]["first_audio_p50_s"] > 0
    assert all(isinstance(r, SpeechRequest) and not r.use_memory_cache and not r.whole for r in engine.asked)


def test_rejected_requests_are_counted_separately():
    from backend.errors import Busy

    engine = FakeEngine()
    engine.refusal = Busy("Full.", retry_after_s=1)
    with served(engine) as url:

        async def ask():
            async with service.httpx.AsyncClient(base_url=url, trust_env=False) as http:
                return [await service.stream_speech(http, "Hello.")]

        row = service.summary("x", asyncio.run(ask()), 1.0)
    assert (row["requests"], row["refused"], row["audio_s_per_s"]) == (1, 1, 0.0)
