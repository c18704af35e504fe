"""Readings of a card that is not there: the driver is played by a few lines."""

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
        "nvmlDeviceGetHandleByIndex": lambda index: f"card {index}",
        "nvmlDeviceGetName": lambda card: b"Tiny GPU",
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=512 * 2**20, total=2048 * 2**20),
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=37),
        "nvmlDeviceGetTemperature": lambda card, sensor: 61,
        "nvmlDeviceGetPowerUsage": lambda card: 123_456,
    }
    return SimpleNamespace(**{**working, **changes})


def test_a_reading_has_the_units_its_names_say():
    reading = GpuMonitor(0, fake_nvml()).read()
    assert (reading.name, reading.memory_used_mb, reading.memory_total_mb) == ("Tiny GPU", 512, 2048)
    assert (reading.load_percent, reading.temperature_c, reading.power_w) == (37, 61, 123.456)


def test_what_a_card_does_not_tell_is_none_and_the_rest_is_there():
    reading = GpuMonitor(0, fake_nvml(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetUtilizationRates=refuse)).read()
    assert (reading.power_w, reading.load_percent, reading.temperature_c) == (None, None, 61)


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetHandleByIndex"])
def test_no_driver_and_no_card_are_refused_by_name(call):
    with pytest.raises(NotAvailable, match="driver"):
        GpuMonitor(0, fake_nvml(**{call: refuse}))


def test_a_driver_that_goes_away_is_noticed():
    nvml = fake_nvml()
    monitor = GpuMonitor(0, nvml)
    nvml.nvmlDeviceGetMemoryInfo = refuse
    nvml.nvmlShutdown = refuse
    with pytest.raises(NotAvailable, match="stopped answering"):
        monitor.read()
    monitor.close()
