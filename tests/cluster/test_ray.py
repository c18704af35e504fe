"""Two replicas under Ray Serve on this machine: killed and replaced while requests run, and none is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import httpx
import pytest
import uvicorn

from backend.settings import ROOT, Settings
from tests.cluster import slow_engine

# Looked for, not imported: that alone takes seconds.
HAS_RAY = find_spec("ray") is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason="the extra 'cluster' is not installed")]

TEXT = "words " * 10
# Workers of Ray start as slowly as the machine imports.
START_LIMIT_S = 120.0


@pytest.fixture(scope="module")
def url():
    from backend.cluster import deployment
    from backend.cluster.door import create_door

    settings = Settings(_env_file=None, device="cpu", max_batch=4, max_queue=16)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{before}"
    deployment.connect(None, n_cores=4)
    try:
        deployment.deploy(settings, deployment.Size(2, 2, cores=1.0), slow_engine.build)
        door = create_door(settings, deployment.ServedReplicas("speakers"), deployment.ServedReplicas("desk"))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(door, log_level="critical", timeout_graceful_shutdown=2))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join(10)
    finally:
        deployment.shut_down()
        deployment.leave()
        os.environ["PYTHONPATH"] = before


def ask(http, url, n):
    return http.post(f"{url}/tts", json={"text": f"{TEXT}{n}", "seed": n, "streaming": n % 2 == 0, "format": "pcm"})


def wait_until(is_so, limit_s=START_LIMIT_S):
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        time.sleep(0.2)


def running():
    from backend.cluster import deployment

    return deployment.status().replicas["speakers"].get("RUNNING", 0)


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


JOIN = "import sys, ray; ray.init(address=sys.argv[1], logging_level='ERROR'); print(ray.nodes())"


def test_nobody_joins_without_the_clusters_own_token(url, tmp_path):
    import ray

    # Whoever joins runs code here, and Ray's ports are not those of this machine alone.
    address = ray.get_runtime_context().gcs_address
    env = dict(os.environ, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="w" * 64, HOME=str(tmp_path))
    joined = subprocess.run(
        [sys.executable, "-c", JOIN, address], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert joined.returncode != 0 and "NodeID" not in joined.stdout
    assert "oken" in joined.stderr


def test_a_killed_replica_costs_nobody_a_request_and_is_replaced(url, http):
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


def test_replacing_all_replicas_costs_nobody_a_request(url, http):
    from backend.cluster import deployment

    before = {ask(http, url, n).headers["x-replica"] for n in range(8)}
    settings = Settings(_env_file=None, device="cpu", max_batch=4, max_queue=16, cache_limit=7)
    statuses, is_over = Counter(), threading.Event()

    def keep_asking():
        n = 0
        while not is_over.is_set():
            statuses[ask(http, url, n).status_code] += 1
            n += 1

    asking = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in asking:
        thread.start()
    deployment.deploy(settings, deployment.Size(2, 2, cores=1.0), slow_engine.build)
    is_over.set()
    for thread in asking:
        thread.join()
    assert set(statuses) == {200} and statuses[200] > 4
    assert not before & {ask(http, url, n).headers["x-replica"] for n in range(8)}
