"""Measures the response time of `/health`: `python -m benchmarks.prober PORT SECONDS`, one line of JSON.

Runs in its own process, since many concurrent requests in one process would delay the client instead of the server.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def main(port: int, duration_s: float) -> None:
    took_s = []
    ends_s = time.monotonic() + duration_s
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < ends_s:
        started_s = time.perf_counter()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        took_s.append(time.perf_counter() - started_s)
        assert answer.status == 200, answer.status
        time.sleep(0.02)
    print(json.dumps(took_s))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
