"""Long bodies, large responses and slow clients do not delay other clients."""

import base64
import gc
import json
import socket
import sys
import time

import httpx
import numpy as np
import pytest

from backend.api.middleware.chunking import CHUNK_BYTES
from backend.api.speech.request import PART_CHARS, Reference
from backend.opt_engine import OptimizedEngine
from tests.support.fake_engine import FakeEngine
from tests.support.served import asked_here, served
from tests.support.small_engine import open_small, settings_in


def test_base64_in_parts_equals_base64_in_one(n_parts=3):
    content = np.random.default_rng(0).bytes(n_parts * PART_CHARS // 4 * 3 + 5)
    assert Reference(audio=base64.b64encode(content).decode()).audio == content


@pytest.mark.parametrize("damage", ["=", "====", "!", "é", "QQ=="])
def test_base64_with_padding_inside_is_rejected(damage):
    good = "QUJD" * (PART_CHARS // 2)
    for at in (4, PART_CHARS - len(damage), PART_CHARS):
        with pytest.raises(ValueError):
            Reference(audio=good[:at] + damage + good[at + len(damage) :])


def test_timed_response_is_one_json_object_of_any_length():
    with asked_here(max_text_chars=20_000) as http:
        for text in ("Hi.", 'say "audio": "" ' * 500):
            told = http.post("/tts/timed", json={"text": text, "format": "wav"}).json()
            assert next(iter(told)) == "audio" and told["sentences"][0]["text"] == text
            sound = http.post("/tts", json={"text": text, "format": "wav"}).content
            assert base64.b64decode(told["audio"]) == sound


def test_large_responses_are_chunked_with_a_content_length():
    with served(FakeEngine(), max_text_chars=20_000) as url, httpx.Client(trust_env=False) as http:
        answer = http.post(f"{url}/tts", json={"text": "x" * 2000, "format": "wav"})
    assert len(answer.content) == int(answer.headers["content-length"]) > 4 * CHUNK_BYTES


def test_client_that_does_not_read_a_whole_response_times_out():
    text = "x" * 60_000  # 19 MB of sound, more than any socket holds
    body = json.dumps({"text": text, "format": "pcm"})
    head = f"POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with served(FakeEngine(), client_timeout_s=0.3, max_text_chars=100_000) as url:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            client.settimeout(30)
            client.sendall((head + body).encode())
            assert client.recv(15).startswith(b"HTTP/1.1 200")
            time.sleep(1.0)
            n_read = 0
            try:
                while piece := client.recv(2**20):
                    n_read += len(piece)
            except ConnectionError:
                pass
    assert n_read < 320 * len(text) / 2


def test_slow_request_body_times_out():
    head = "POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    with served(FakeEngine(), client_timeout_s=0.3) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as client:
            client.sendall(head.encode())
            client.settimeout(0.05)
            began_s, answer = time.monotonic(), b""
            while not answer and time.monotonic() - began_s < 20:
                client.sendall(b" ")  # always some progress
                try:
                    answer = client.recv(4096)
                except TimeoutError:
                    continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_loaded_models_are_frozen_for_the_garbage_collector(tmp_path):
    engine = OptimizedEngine(settings_in(tmp_path), open_small)
    with asked_here(engine) as http:
        assert gc.get_freeze_count() > 100_000
        assert sys.getswitchinterval() == pytest.approx(0.001)
        http.post("/tts", json={"text": "Hi.", "max_new_tokens": 2})
    assert gc.get_freeze_count() == 0, "what was let go can be collected again"
