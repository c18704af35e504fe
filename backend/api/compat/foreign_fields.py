"""Fields that clients of other speech servers send to `/v1/audio/speech`, and their meaning here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.errors import BadRequest

SAMPLE_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# Fields without a counterpart here: they are reported in `X-Ignored-Params`.
REPORTED_FIELDS = (
    "backend", "language", "lang_code", "user", "volume_multiplier", "return_download_link", "return_timing",
    "normalization_options", "exaggeration", "cfg_weight",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForeignFields:
    """The honored foreign fields of a request, and the names of the reported ones.

    `is_streaming` is None if the client left the choice to the server. `rest` has the other fields.
    """

    is_streaming: bool | None
    sample_rate_hz: int | None
    reported: tuple[str, ...]
    rest: dict[str, Any]


def split_foreign_fields(extra: dict[str, Any]) -> ForeignFields:
    """Separates foreign fields from `extra`. A null field counts as omitted. Raises `BadRequest` for a bad value."""
    rest = {name: value for name, value in extra.items() if value is not None}
    is_streaming, rate_hz = rest.pop("stream", None), rest.pop("sample_rate", None)
    if is_streaming not in (None, True, False):
        raise BadRequest(f"stream is {str(is_streaming)[:40]!r}; expected true or false. Correct it.", "stream")
    if rate_hz is not None and rate_hz not in SAMPLE_RATES_HZ:
        raise BadRequest(
            f"sample_rate is {str(rate_hz)[:40]!r}; expected one of {', '.join(map(str, SAMPLE_RATES_HZ))}. Choose one.",
            "sample_rate",
        )
    reported = tuple(name for name in REPORTED_FIELDS if rest.pop(name, None) is not None)
    return ForeignFields(is_streaming, None if rate_hz is None else int(rate_hz), reported, rest)
