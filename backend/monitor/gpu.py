"""What the NVIDIA driver tells about a card, through NVML."""

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
    """One look at a card. None: this card or driver does not tell."""

    name: str
    memory_used_mb: float
    memory_total_mb: float
    load_percent: float | None
    temperature_c: float | None
    power_w: float | None


class GpuMonitor:
    """Reads one card; raises `NotAvailable` where there is no driver, no such card or no `nvidia-ml-py`.

    `nvml` is the module `pynvml`, or anything that looks like it.
    """

    def __init__(self, index: int = 0, nvml: Any = None):
        if nvml is None:
            try:
                nvml = import_module("pynvml")
            except ImportError as error:
                raise NotAvailable(
                    "Readings of the card need the package nvidia-ml-py, which is not installed. Install requirements.txt."
                ) from error
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._card = nvml.nvmlDeviceGetHandleByIndex(index)
            name = nvml.nvmlDeviceGetName(self._card)
        except nvml.NVMLError as error:
            raise NotAvailable(
                f"The NVIDIA driver gives no readings of card {index}: {error}. Check the driver."
            ) from error
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def read(self) -> GpuReading:
        """The card now. Raises `NotAvailable` if the driver went away."""
        nvml, card = self._nvml, self._card
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(card)
        except nvml.NVMLError as error:
            raise NotAvailable(f"The NVIDIA driver stopped answering: {error}. Check the driver.") from error
        return GpuReading(
            name=self.name,
            memory_used_mb=memory.used / MEGABYTE,
            memory_total_mb=memory.total / MEGABYTE,
            load_percent=self._optional(lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu),
            temperature_c=self._optional(lambda: nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU)),
            power_w=self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(card) / 1000),
        )

    def close(self) -> None:
        """Let the driver go; errors at this point concern nobody."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            log.debug("NVML did not shut down: %s", error)

    def _optional(self, read: Any) -> float | None:
        try:
            return float(read())
        except self._nvml.NVMLError:
            return None
