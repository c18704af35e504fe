"""Response headers with the metrics of a speech."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

from backend.api.engine_host import SpeechStreamProtocol
from backend.audio.waveform import Waveform

# Header, metrics field, factor, decimal places.
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
    "X-Request-Id": "Id of this request in the server log.",
    "X-Model": "The loaded checkpoint (`/v1/audio/speech`).",
    "X-Seed": "The seed used; it reproduces the same speech.",
    "X-Voice": "The built-in voice used for the requested OpenAI voice name (`/v1/audio/speech`).",
    "X-Voice-Note": "Reason for falling back to the default voice (`/v1/audio/speech`).",
    "X-Sample-Rate": "Sample rate in Hz.",
    "X-Channels": "Number of channels.",
    "X-Ignored-Params": "Request fields without effect, comma-separated; `%` and non-ASCII as percent-encoded UTF-8.",
    "X-Watermark": "`on` if the audio carries the watermark.",
    "X-Finish-Reason": "`stop` or `pointer_end`: end of the text; `length`: a limit was reached; `repetition`: runaway generation.",
    "X-Audio-Seconds": "Duration of the audio.",
    "X-Total-Ms": "Time from the request to the last audio.",
    "X-First-Audio-Ms": "Time to first audio (TTFA).",
    "X-RTF": "Real-time factor: seconds of processing per second of audio.",
    "X-Queue-Ms": "Time in the queue.",
    "X-Reference-Ms": "Time to read and encode the references.",
    "X-Semantic-Ms": "Time of the language model.",
    "X-Synthesis-Ms": "Time of the codec decoder.",
    "X-Frames": "Number of generated frames.",
    "X-Frames-Per-Second": "Frames per second of the language model.",
    "X-Cache-Hits": "Caches that were hit, comma-separated.",
}
# Characters that need no encoding in a header; `%` starts an encoded one.
PLAIN = "".join(sorted({*string.printable} - {*string.whitespace, "%"})) + " "
# Clients reject responses with headers of 8 kB.
MAX_HEADER_CHARS = 4000


def header_text(text: str) -> str:
    """Returns `text` as a header value: non-ASCII as percent-encoded UTF-8, truncated to `MAX_HEADER_CHARS`."""
    header = ""
    for character in text:
        encoded = quote(character, safe=PLAIN, errors="replace")
        if len(header) + len(encoded) > MAX_HEADER_CHARS:
            return f"{header}..."
        header += encoded
    return header


def headers_at_start(
    stream: SpeechStreamProtocol, first: Waveform, first_audio_s: float | None = None
) -> dict[str, str]:
    """Returns the headers known when the first chunk exists."""
    headers = {
        "X-Sample-Rate": str(first.rate_hz),
        "X-Channels": str(first.n_channels),
        "X-Model": "The loaded checkpoint (`/v1/audio/speech`).",
        "X-Seed": str(stream.metrics.seed),
    }
    if first_audio_s is not None:
        headers["X-First-Audio-Ms"] = f"{first_audio_s * 1000:.1f}"
    if stream.is_watermarked:
        headers["X-Watermark"] = "on"
    if stream.ignored:
        headers["X-Ignored-Params"] = header_text(", ".join(stream.ignored))
    return headers


def headers_at_end(stream: SpeechStreamProtocol) -> dict[str, str]:
    """Returns the headers known after the last chunk."""
    metrics: Any = stream.metrics
    headers = {name: f"{getattr(metrics, field) * factor:.{digits}f}" for name, field, factor, digits in AT_END}
    headers["X-Finish-Reason"] = stream.finish_reason
    if metrics.cache_hits:
        headers["X-Cache-Hits"] = ", ".join(metrics.cache_hits)
    return headers


def documented_headers() -> dict[str, dict[str, Any]]:
    """Returns the headers as OpenAPI describes them."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in DESCRIPTIONS.items()}
