"""Clients that disconnect in the queue, during prefill or during speech free their slot at once."""

import socket
import time

import pytest

from backend.opt_engine import OptimizedEngine
from backend.runtime.request import SpeechRequest
from tests.support.fake_engine import FakeEngine
from tests.support.served import served, within
from tests.support.small_engine import open_small, settings_in

FREE_WITHIN_S = 0.15


def send_request(url, text, **fields):
    """An open connection on which the request was sent and nothing was read."""
    host, port = url.removeprefix("http://").split(":")
    given = "".join(f', "{name}": {value}' for name, value in fields.items())
    body = f'{{"text": "{text}", "use_memory_cache": "off"{given}}}'.encode()
    client = socket.create_connection((host, int(port)), timeout=30)
    client.sendall(
        f"POST /tts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return client


def disconnect_and_wait(client, is_free):
    """Seconds from the disconnect until `is_free()`; raises if that takes longer than a hang would."""
    left_s = time.monotonic()
    client.close()
    within(20.0, is_free)
    return time.monotonic() - left_s


def test_disconnect_before_the_first_chunk_frees_the_slot():
    engine = FakeEngine()
    engine.pause_after_samples = 0
    with served(engine) as url:
        client = send_request(url, "Nobody hears this.")
        assert engine.paused.wait(5)
        disconnect_and_wait(client, lambda: engine.n_cancelled)
    assert engine.n_pieces == 0
    engine.go_on.set()


@pytest.mark.parametrize("streaming", ["true", "false"])
def test_disconnect_in_the_queue_removes_the_request(tmp_path, streaming):
    def open_slow(settings, device):
        model = open_small(settings, device)
        step = model.lm.step
        model.lm.step = lambda *given: (time.sleep(0.01), step(*given))[1]
        return model

    engine = OptimizedEngine(settings_in(tmp_path, max_batch=1), open_slow)
    with served(engine) as url:
        speaking = send_request(url, "Hello there.", max_new_tokens=900, streaming="true")
        assert speaking.recv(15).startswith(b"HTTP/1.1 200")
        columns = engine.status().batch.prefill_columns
        waiting = send_request(url, "Hello there.", max_new_tokens=900, streaming=streaming)
        within(5, lambda: engine.status().batch.waiting == 1)
        disconnect_and_wait(waiting, lambda: engine.status().batch.waiting == 0)
        disconnect_and_wait(speaking, lambda: engine.status().batch.active == 0)
        time.sleep(0.05)
        assert engine.status().batch.prefill_columns == columns, "the one that left was read in"


@pytest.mark.slow
def test_built_in_voice_frees_slots_and_queue_entries_in_time(tmp_path):
    engine = OptimizedEngine(settings_in(tmp_path, max_batch=2).model_copy(update={"model_dir": "phonogram-mini"}))
    text = "The river runs past the old mill, and nobody has crossed it since the bridge was closed. " * 8
    took_s = []
    with served(engine) as url:
        within(60, lambda: engine.status().is_loaded)
        engine.speak(SpeechRequest(text="Warm.", seed=1))
        for _ in range(5):
            clients = [send_request(url, text, streaming="true") for _ in range(4)]
            within(20, lambda: engine.status().batch.active == 2 and engine.status().batch.waiting == 2)
            took_s += [
                disconnect_and_wait(client, lambda n=n: n_held(engine) == n) for n, client in enumerate_down(clients)
            ]
    print("freed after ms:", [round(1000 * one) for one in took_s])
    # Alone on two cores the slowest of twenty took 58 ms; two may fall together with other work of the machine.
    assert sorted(took_s)[-3] < FREE_WITHIN_S


def n_held(engine):
    return engine.status().batch.active + engine.status().batch.waiting


def enumerate_down(clients):
    """The last to come leaves first: how many are left after each."""
    return [(n, clients[n]) for n in reversed(range(len(clients)))]
