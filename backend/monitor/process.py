"""CPU and memory use of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """`cpu_percent` covers the time since the previous reading, 100 for one busy core; the first value is 0."""

    memory_mb: float
    cpu_percent: float
    threads: int
    machine_memory_used_mb: float
    machine_memory_total_mb: float
    cores: int


class ProcessMonitor:
    """Reads this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()

    def read(self) -> ProcessReading:
        memory = psutil.virtual_memory()
        with self._process.oneshot():
            return ProcessReading(
                memory_mb=self._process.memory_info().rss / MEGABYTE,
                cpu_percent=self._process.cpu_percent(),
                threads=self._process.num_threads(),
                machine_memory_used_mb=(memory.total - memory.available) / MEGABYTE,
                machine_memory_total_mb=memory.total / MEGABYTE,
                cores=os.cpu_count() or 1,
            )
