"""What the headers of a speech tell about it."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

from backend.api.engine_host import SpeechStreamProtocol
from backend.audio.waveform import Waveform

# Header, field of the metrics, factor, digits after the point.
AT_END = (
    ("X-Audio-Seconds", "audio_s", 1, 3),
    ("X-Total-Ms", "total_s", 1000, 1),
    ("X-First-Audio-Ms", "first_audio_s", 1000, 1),
    ("X-RTF", "rtf", 1, 4),
    ("X-Queue-Ms", "queue_s", 1000, 1),
    ("X-Reference-Ms", "reference_s", 1000, 1),
    ("X-Semantic-Ms", "semantic_s", 1000, 1),
    ("X-Synthesis-Ms", "synthesis_s", 1000, 1),
    ("X-Frames", "frames", 1, 0),
    ("X-Frames-Per-Second", "frames_per_s", 1, 1),
)
DESCRIPTIONS = {
    "X-Request-Id": "Names this request in the server's log.",
    "X-Seed": "The seed that was used; sent again, it gives the same speech.",
    "X-Voice": "The built-in voice that stands for the name that was sent (`/v1/audio/speech`).",
    "X-Voice-Note": "Why the default voice speaks instead (`/v1/audio/speech`).",
    "X-Sample-Rate": "Samples per second.",
    "X-Channels": "Channels.",
    "X-Ignored-Params": "What was sent and cannot be honored, with commas; beyond ASCII, and `%`, percent-encoded UTF-8.",
    "X-Watermark": "`on` if the sound carries the watermark of the settings.",
    "X-Finish-Reason": "`stop` or `pointer_end`: the text is said; `length`: a limit cut it short; `repetition`: it went in circles.",
    "X-Audio-Seconds": "Length of the sound.",
    "X-Total-Ms": "From the request to the last sound.",
    "X-First-Audio-Ms": "From the request to the first sound.",
    "X-RTF": "Seconds of work per second of sound.",
    "X-Queue-Ms": "Waiting for a free place.",
    "X-Reference-Ms": "Reading and encoding the references.",
    "X-Semantic-Ms": "Predicting codes.",
    "X-Synthesis-Ms": "Turning codes into sound.",
    "X-Frames": "Frames of codes.",
    "X-Frames-Per-Second": "Frames of codes per second of prediction.",
    "X-Cache-Hits": "What was found in a cache, with commas.",
}
# What a header may hold as it is; `%` begins what is encoded.
PLAIN = "".join(sorted({*string.printable} - {*string.whitespace, "%"})) + " "
# Clients refuse answers with a header of 8 kB.
MAX_HEADER_CHARS = 4000


def header_text(text: str) -> str:
    """A sentence as a header can carry it: beyond ASCII as percent-encoded UTF-8, cut where it is endless."""
    written = ""
    for character in text:
        encoded = quote(character, safe=PLAIN, errors="replace")
        if len(written) + len(encoded) > MAX_HEADER_CHARS:
            return f"{written}..."
        written += encoded
    return written


def headers_at_start(
    stream: SpeechStreamProtocol, first: Waveform, first_audio_s: float | None = None
) -> dict[str, str]:
    """What is known when the first piece of sound exists."""
    headers = {
        "X-Sample-Rate": str(first.rate_hz),
        "X-Channels": str(first.n_channels),
        "X-Seed": str(stream.metrics.seed),
    }
    if first_audio_s is not None:
        headers["X-First-Audio-Ms"] = f"{first_audio_s * 1000:.1f}"
    if stream.is_marked:
        headers["X-Watermark"] = "on"
    if stream.ignored:
        headers["X-Ignored-Params"] = header_text(", ".join(stream.ignored))
    return headers


def headers_at_end(stream: SpeechStreamProtocol) -> dict[str, str]:
    """What is known after the last piece."""
    metrics: Any = stream.metrics
    headers = {name: f"{getattr(metrics, field) * factor:.{digits}f}" for name, field, factor, digits in AT_END}
    headers["X-Finish-Reason"] = stream.finish_reason
    if metrics.cache_hits:
        headers["X-Cache-Hits"] = ", ".join(metrics.cache_hits)
    return headers


def documented_headers() -> dict[str, dict[str, Any]]:
    """The headers as OpenAPI describes them."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in DESCRIPTIONS.items()}
