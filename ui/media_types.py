"""Media types of the backend's audio formats."""

from __future__ import annotations

MEDIA_TYPES = {"mp3": "audio/mpeg", "opus": "audio/ogg", "m4b": "audio/mp4", "pcm": "application/octet-stream"}


def media_type(format: str) -> str:
    """Return the media type of a file format."""
    return MEDIA_TYPES.get(format, f"audio/{format}")
