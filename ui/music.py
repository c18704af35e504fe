"""What both music pages share: the choices and the description sent to the backend."""

from __future__ import annotations

from typing import Any

from ui import labels

METERS = ("4/4", "3/4", "6/8", "2/4", "5/4", "12/8")
FORMATS = ("wav", "flac", "mp3", "opus")


def description(
    prompt: str, duration_s: float | None, seed: float | None, tempo_bpm: float | None, key: str | None,
    meter: str | None,
) -> dict[str, Any]:  # fmt: skip
    """Returns the fields that were filled in. Raises `ValueError` with a message for the user without a prompt."""
    if not prompt.strip():
        raise ValueError(labels.MUSIC_EMPTY)
    fields: dict[str, Any] = {"prompt": prompt, "seed": int(seed or 0)}
    if duration_s:
        fields["duration_s"] = float(duration_s)
    if tempo_bpm:
        fields["tempo_bpm"] = int(tempo_bpm)
    if key and key != labels.FROM_DESCRIPTION:
        fields["key"] = key
    if meter and meter != labels.FROM_DESCRIPTION:
        fields["meter"] = meter
    return fields
