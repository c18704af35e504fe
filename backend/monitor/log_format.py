"""Log formatters with request ids, as text or JSON."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Literal

LogFormat = Literal["text", "json"]

# Set when a request arrives; threads that work for it run in a copy of its context.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def request_id_of(record: logging.LogRecord) -> str:
    """Return the request id from the record's `extra` or the current context; "" outside of requests."""
    return getattr(record, "request_id", "") or REQUEST_ID.get()


class TextLines(logging.Formatter):
    """Formats records as `INFO backend.app [id]: message`."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s%(about)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        request_id = request_id_of(record)
        record.about = f" [{request_id}]" if request_id else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """Formats one JSON object per line. Items of `extra={"fields": {...}}` become top-level fields."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"), "level": record.levelname, "logger": record.name,
            "message": record.getMessage(),
        }  # fmt: skip
        request_id = request_id_of(record)
        if request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**getattr(record, "fields", {}), **line}, ensure_ascii=False, default=str)


FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {"text": TextLines, "json": JsonLines}
