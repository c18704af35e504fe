"""CPU and memory readings of this process."""

import mmap
import threading

from backend.monitor.process import ProcessMonitor


def test_memory_use_is_measured():
    monitor = ProcessMonitor()
    before = monitor.read()
    # Fresh pages of the system: an array could reuse memory that this process holds already.
    with mmap.mmap(-1, 64 * 2**20) as block:
        block[:] = b"x" * len(block)
        after = monitor.read()
    assert 50 < after.memory_mb - before.memory_mb < 200


def test_threads_are_counted():
    monitor, stop = ProcessMonitor(), threading.Event()
    before = monitor.read().threads
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert monitor.read().threads == before + 1
    stop.set()
    thread.join()
    assert monitor.read().machine_memory_total_mb > monitor.read().memory_mb > 0
