"""NVIDIA GPU monitoring through NVML."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from backend.errors import NotAvailable

log = logging.getLogger(__name__)

MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One reading of a GPU. None: not reported by this GPU or driver."""

    name: str
    memory_used_mb: float
    memory_total_mb: float
    load_percent: float | None
    temperature_c: float | None
    power_w: float | None


class GpuMonitor:
    """Reads one GPU; raises `NotAvailable` without a driver, the GPU or `nvidia-ml-py`.

    `nvml` is the module `pynvml` or a compatible object.
    """

    def __init__(self, index: int = 0, nvml: Any = None):
        if nvml is None:
            try:
                nvml = import_module("pynvml")
            except ImportError as error:
                raise NotAvailable(
                    "GPU monitoring needs the package nvidia-ml-py, which is not installed. Install requirements.txt."
                ) from error
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = nvml.nvmlDeviceGetName(self._handle)
        except nvml.NVMLError as error:
            raise NotAvailable(f"The NVIDIA driver cannot read GPU {index}: {error}. Check the driver.") from error
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def read(self) -> GpuReading:
        """Read the GPU. Raises `NotAvailable` if the driver fails."""
        nvml, handle = self._nvml, self._handle
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError as error:
            raise NotAvailable(f"The NVIDIA driver stopped responding: {error}. Check the driver.") from error
        return GpuReading(
            name=self.name,
            memory_used_mb=memory.used / MEGABYTE,
            memory_total_mb=memory.total / MEGABYTE,
            load_percent=self._optional(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            temperature_c=self._optional(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            power_w=self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        )

    def close(self) -> None:
        """Shut NVML down; errors are logged and ignored."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            log.debug("NVML did not shut down: %s", error)

    def _optional(self, read: Any) -> float | None:
        try:
            return float(read())
        except self._nvml.NVMLError:
            return None
