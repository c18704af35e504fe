"""Two replicas under Ray Serve on this machine: killed and replaced under load without losing a request."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from backend.settings import ROOT, Settings
from tests.support import slow_engine
from tests.support.speech_socket import PATH

# Looked for, not imported: that alone takes seconds.
HAS_RAY = find_spec("ray") is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason="the extra 'cluster' is not installed")]

TEXT = "words " * 10
# Workers of Ray start as slowly as the machine imports.
START_LIMIT_S = 120.0


@pytest.fixture(scope="module")
def url():
    from backend.cluster import ray_serve
    from backend.cluster.gateway import create_gateway

    settings = Settings(_env_file=None, device="cpu", max_batch=4, max_queue=16)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{before}"
    ray_serve.connect(None, n_cores=4)
    try:
        ray_serve.deploy(settings, ray_serve.Size(2, 2, cores=1.0), slow_engine.build)
        gateway = create_gateway(
            settings, ray_serve.RayReplicaPool(ray_serve.WORKERS), ray_serve.RayReplicaPool(ray_serve.PRIMARY)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(gateway, log_level="critical", timeout_graceful_shutdown=2))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join(10)
    finally:
        ray_serve.shut_down()
        ray_serve.disconnect()
        os.environ["PYTHONPATH"] = before


def ask(http, url, n):
    return http.post(f"{url}/tts", json={"text": f"{TEXT}{n}", "seed": n, "streaming": n % 2 == 0, "format": "pcm"})


def wait_until(is_so, limit_s=START_LIMIT_S):
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        time.sleep(0.2)


def running():
    from backend.cluster import ray_serve

    return ray_serve.status().replicas[ray_serve.WORKERS].get("RUNNING", 0)


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=20)) as http:
        yield http


def test_both_replicas_speak(url, http):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ask(http, url, n), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(len(answer.content) == len(f"{TEXT}{n}") * 320 for n, answer in enumerate(answers))
    assert len(Counter(answer.headers["x-replica"] for answer in answers)) == 2


def said(socket, *texts, ending="end"):
    """Say each text and flush; the sound until the end, what was told, and the code of closing or None."""
    sound, told = b"", []
    for text in texts:
        socket.send(json.dumps({"type": "text", "text": text}))
        socket.send(json.dumps({"type": "flush"}))
    if ending == "end":
        socket.send(json.dumps({"type": "end"}))
    try:
        while ending == "end" or [body["type"] for body in told].count("flushed") < len(texts):
            message = socket.recv(30)
            if isinstance(message, bytes):
                sound += message
            else:
                told.append(json.loads(message))
    except ConnectionClosed as closed:
        return sound, told, closed.rcvd.code if closed.rcvd else None
    return sound, told, None


@contextmanager
def talking(url, **start):
    with connect(url.replace("http", "ws") + PATH, proxy=None) as socket:
        socket.send(json.dumps({"type": "start", "pace": 0, **start}))
        yield socket


def rows(http, url):
    """How the speeches on sockets went, by replica; asked until both have answered."""
    found = {}

    def both_answer():
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda _: http.get(f"{url}/requests"), range(8)):
                spoken = [row["status"] for row in answer.json()["requests"] if row["door"] == PATH]
                found[answer.headers["x-replica"]] = spoken
        return len(found) == 2

    wait_until(both_answer, 30)
    return list(found.values())


def test_websockets_use_both_replicas_and_equal_the_http_endpoint(url, http):
    def one(n):
        with talking(url, seed=n) as socket:
            return said(socket, f"{TEXT}{n}", "And more. And more than that.")

    with ThreadPoolExecutor(6) as pool:
        heard = list(pool.map(one, range(6)))
    for n, (sound, told, code) in enumerate(heard):
        body = {"text": f"{TEXT}{n}", "seed": n, "format": "pcm"}
        first = http.post(f"{url}/tts", json=body).content
        assert code == 1000 and told[-1]["type"] == "done" and sound.startswith(first)
        assert len(sound) == 320 * sum(len(body["text"]) for body in told if body["type"] == "sentence")
    assert all("done" in statuses for statuses in rows(http, url))


def test_idle_sockets_use_no_slot_and_a_disconnect_frees_one(url, http):
    # More than both replicas together may have under way and waiting.
    with ExitStack() as silent:
        for _ in range(60):
            silent.enter_context(talking(url))
        assert {ask(http, url, n).status_code for n in range(4)} == {200}
        with talking(url) as leaving:
            leaving.send(json.dumps({"type": "text", "text": f"{TEXT}. " * 3}))
            time.sleep(slow_engine.THINKING_S / 2)
        wait_until(lambda: any("cancelled" in statuses for statuses in rows(http, url)), 20)


JOIN = "import sys, ray; ray.init(address=sys.argv[1], logging_level='ERROR'); print(ray.nodes())"


def test_joining_the_cluster_needs_its_token(url, tmp_path):
    import ray

    # Whoever joins runs code here, and Ray's ports are not those of this machine alone.
    address = ray.get_runtime_context().gcs_address
    env = dict(os.environ, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="w" * 64, HOME=str(tmp_path))
    joined = subprocess.run(
        [sys.executable, "-c", JOIN, address], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert joined.returncode != 0 and "NodeID" not in joined.stdout
    assert "oken" in joined.stderr


def test_killed_replica_loses_no_request_and_is_replaced(url, http):
    n_broken = 0
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, http, url, n) for n in range(40)]
        wait_until(lambda: any(one.done() for one in asked), 30)
        doomed = next(one for one in asked if one.done()).result().headers["x-replica"]
        os.kill(int(doomed), signal.SIGKILL)
        for n, one in enumerate(asked):
            try:
                answer = one.result()
            except httpx.RemoteProtocolError:
                # It had begun to stream: broken off where everyone sees it, never a short file.
                assert n % 2 == 0
                n_broken += 1
            else:
                assert answer.status_code == 200 and len(answer.content) == len(f"{TEXT}{n}") * 320
    assert n_broken <= 8
    wait_until(lambda: running() == 2)
    assert doomed not in {ask(http, url, n).headers["x-replica"] for n in range(4)}


def test_killed_replica_is_retried_or_reported_on_the_websocket(url, http):
    texts = [f"{TEXT}{n}." for n in range(6)]
    doomed = ask(http, url, 0).headers["x-replica"]
    with ExitStack() as opened, ThreadPoolExecutor(6) as pool:
        talks = [pool.submit(said, opened.enter_context(talking(url, seed=n)), *texts) for n in range(6)]
        time.sleep(2 * slow_engine.THINKING_S)
        os.kill(int(doomed), signal.SIGKILL)
        ends = [talk.result() for talk in talks]
    for sound, told, code in ends:
        if code == 1000:
            assert len(sound) == 320 * sum(map(len, texts))
        else:
            assert (code, told[-1]["error"]) == (1011, "SpeakerLost") and len(sound) < 320 * sum(map(len, texts))
    wait_until(lambda: running() == 2)


def test_rolling_update_loses_no_request(url, http):
    from backend.cluster import ray_serve

    before = {ask(http, url, n).headers["x-replica"] for n in range(8)}
    settings = Settings(_env_file=None, device="cpu", max_batch=4, max_queue=16, cache_limit=7)
    statuses, is_over = Counter(), threading.Event()

    def keep_asking():
        n = 0
        while not is_over.is_set():
            statuses[ask(http, url, n).status_code] += 1
            n += 1

    n_said, sounds = 0, []

    def keep_talking():
        nonlocal n_said
        with talking(url, seed=1) as socket:
            while not is_over.is_set():
                n_said += 1
                sounds.append(said(socket, f"{TEXT}.", ending=None))

    asking = [threading.Thread(target=keep_asking), threading.Thread(target=keep_talking)]
    with talking(url, seed=2) as silent:
        said(silent, "Before.", ending=None)
        for thread in asking:
            thread.start()
        ray_serve.deploy(settings, ray_serve.Size(2, 2, cores=1.0), slow_engine.build)
        is_over.set()
        for thread in asking:
            thread.join()
        after, _, code = said(silent, "After.")
    assert code == 1000 and len(after) == 320 * len("After.")
    assert n_said > 2 and {(len(sound), code) for sound, _, code in sounds} == {(320 * len(f"{TEXT}."), None)}
    assert set(statuses) == {200} and statuses[200] > 4
    assert not before & {ask(http, url, n).headers["x-replica"] for n in range(8)}
