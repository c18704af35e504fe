"""CPU and memory readings of this process."""

import threading

import numpy as np

from backend.monitor.process import ProcessMonitor


def test_memory_use_is_measured():
    monitor = ProcessMonitor()
    before = monitor.read()
    block = np.ones(64 * 2**20 // 8)
    after = monitor.read()
    assert 50 < after.memory_mb - before.memory_mb < 200
    assert block.nbytes == 64 * 2**20


def test_threads_are_counted():
    monitor, stop = ProcessMonitor(), threading.Event()
    before = monitor.read().threads
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert monitor.read().threads == before + 1
    stop.set()
    thread.join()
    assert monitor.read().machine_memory_total_mb > monitor.read().memory_mb > 0
