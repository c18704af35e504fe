"""Thread setup of a worker."""

import threading
from contextlib import contextmanager

import torch

from backend.runtime.worker import ThreadSetup, Worker


def test_ticks_and_calls_run_inside_the_thread_scope():
    scope_of: dict[str, int | None] = {"inside": None}

    @contextmanager
    def scope():
        scope_of["inside"] = threading.get_ident()
        yield
        scope_of["inside"] = None

    found = []
    worker = Worker(
        "stage", lambda: found.append(scope_of["inside"] == threading.get_ident()), print, print, ThreadSetup(1, scope)
    )
    worker.start()
    assert worker.call(lambda: scope_of["inside"] == threading.get_ident() and torch.get_num_threads() == 1).result(5)
    worker.close()
    assert found and all(found)
    assert scope_of["inside"] is None
