"""A worker's thread computes as it was set up to."""

import threading
from contextlib import contextmanager

import torch

from backend.runtime.worker import ThreadSetup, Worker


def test_every_step_and_call_runs_inside_the_scope_of_the_thread():
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
