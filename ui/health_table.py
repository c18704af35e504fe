"""The backend's health as table rows."""

from __future__ import annotations

from ui.responses import HealthInfo


def health_rows(health: HealthInfo) -> list[tuple[str, str]]:
    """Return label and value pairs, in reading order."""
    threads = "thread" if health.torch_threads == 1 else "threads"
    return [
        ("Version", health.version),
        ("Device", f"{health.device} ({health.device_name})"),
        ("Reason for this device", health.device_reason),
        ("PyTorch", f"{health.torch_version}, {health.torch_threads} {threads}"),
        ("Python", health.python_version),
        ("Uptime", duration_text(health.uptime_s)),
    ]


def duration_text(duration_s: float) -> str:
    """Return a duration as text: `12 s`, `3 min 4 s`, `5 h 6 min`."""
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
