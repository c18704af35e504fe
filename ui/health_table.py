"""The backend's health as the rows both pages show."""

from __future__ import annotations

from ui.answers import HealthInfo


def health_rows(health: HealthInfo) -> list[tuple[str, str]]:
    """Return label and value pairs, in reading order."""
    threads = "thread" if health.torch_threads == 1 else "threads"
    return [
        ("Version", health.version),
        ("Device", f"{health.device} ({health.device_name})"),
        ("Why this device", health.device_reason),
        ("PyTorch", f"{health.torch_version}, {health.torch_threads} {threads}"),
        ("Python", health.python_version),
        ("Up for", uptime_text(health.uptime_s)),
    ]


def uptime_text(uptime_s: float) -> str:
    """Return a duration as a person would say it: `12 s`, `3 min 4 s`, `5 h 6 min`."""
    minutes, seconds = divmod(int(uptime_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
