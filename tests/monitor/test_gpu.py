"""GPU readings with a fake NVML."""

from types import SimpleNamespace

import pytest

from backend.errors import NotAvailable
from backend.monitor.gpu import GpuMonitor


class NVMLError(Exception):
    pass


def refuse(*arguments):
    raise NVMLError("not supported")


def fake_nvml(**changes):
    working = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"gpu {index}",
        "nvmlDeviceGetName": lambda handle: b"Tiny GPU",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=512 * 2**20, total=2048 * 2**20),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=37),
        "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        "nvmlDeviceGetPowerUsage": lambda handle: 123_456,
    }
    return SimpleNamespace(**{**working, **changes})


def test_reading_uses_the_units_in_its_field_names():
    reading = GpuMonitor(0, fake_nvml()).read()
    assert (reading.name, reading.memory_used_mb, reading.memory_total_mb) == ("Tiny GPU", 512, 2048)
    assert (reading.load_percent, reading.temperature_c, reading.power_w) == (37, 61, 123.456)


def test_unsupported_gpu_readings_are_none():
    reading = GpuMonitor(0, fake_nvml(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetUtilizationRates=refuse)).read()
    assert (reading.power_w, reading.load_percent, reading.temperature_c) == (None, None, 61)


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetHandleByIndex"])
def test_missing_driver_or_gpu_is_rejected(call):
    with pytest.raises(NotAvailable, match="driver"):
        GpuMonitor(0, fake_nvml(**{call: refuse}))


def test_driver_failure_raises_not_available():
    nvml = fake_nvml()
    monitor = GpuMonitor(0, nvml)
    nvml.nvmlDeviceGetMemoryInfo = refuse
    nvml.nvmlShutdown = refuse
    with pytest.raises(NotAvailable, match="stopped responding"):
        monitor.read()
    monitor.close()
