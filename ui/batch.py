"""Many texts at once: read from a CSV or text file, spoken side by side, and put together as one zip file."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from ui.client import BackendClient, BackendError

MAX_LINES = 2000
# The server speaks about this many at a time; more would only wait there.
N_AT_ONCE = 4
# Columns that are ours; all others are fields of `POST /tts`.
OWN_COLUMNS = ("text", "name")
# A format belongs to the whole batch, and files cannot be uploaded in a table.
NOT_PER_LINE = ("format", "streaming", "references", "fit_reference", "text")


class BatchError(Exception):
    """The file cannot be spoken; the text can be shown as it is."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One text of a batch; `options` are fields of `POST /tts` that go before those of all lines."""

    name: str
    text: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of a line: the sound file, or None and why."""

    line: BatchLine
    audio: bytes | None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_lines(filename: str, content: bytes, fields: Collection[str]) -> list[BatchLine]:
    """The lines of a file. A CSV file needs a column `text`; `name` and any of `fields` may stand beside it.

    In any other file every line is a text. Raises `BatchError` with the place and what to do.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BatchError(f"{filename} is not UTF-8 (byte {error.start}). Save it as UTF-8 and try again.") from error
    rows = _table(filename, text, fields) if filename.lower().endswith(".csv") else _plain(text)
    if not rows:
        raise BatchError(f"{filename} holds no text. Write one text a line.")
    if len(rows) > MAX_LINES:
        raise BatchError(f"{filename} holds {len(rows)} texts; the limit is {MAX_LINES}. Split the file.")
    return [
        BatchLine(f"{index:03}-{slug_of(row.pop('name', '') or row['text'])}", row.pop("text"), row)
        for index, row in enumerate(rows, 1)
    ]


def slug_of(text: str) -> str:
    """A text as a part of a file name that every system takes: letters, digits and hyphens."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:40].strip("-") or "speech"


def run_batch(
    client: BackendClient, lines: Sequence[BatchLine], options: Mapping[str, Any]
) -> Iterator[tuple[int, BatchResult]]:
    """Speak every line; yields its index and outcome as they come, in any order. A failure ends its line alone."""
    pool = ThreadPoolExecutor(N_AT_ONCE, "batch")
    try:
        waiting = {pool.submit(_speak, client, line, options): index for index, line in enumerate(lines)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def zip_of(outcomes: Sequence[BatchResult], format: str) -> bytes:
    """Every sound that was made, with a table `batch.csv` of all lines, as a zip file."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["file", "text", "seconds", "seed", "message"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for outcome in outcomes:
            name = f"{outcome.line.name}.{format}" if outcome.audio is not None else ""
            if outcome.audio is not None:
                archive.writestr(name, outcome.audio)
            told = [outcome.headers.get(header, "") for header in ("x-audio-seconds", "x-seed")]
            rows.writerow([name, outcome.line.text, *told, outcome.message])
        archive.writestr("batch.csv", table.getvalue())
    return packed.getvalue()


def _speak(client: BackendClient, line: BatchLine, options: Mapping[str, Any]) -> BatchResult:
    try:
        spoken = client.speak(line.text, {**options, **line.options})
    except BackendError as error:
        return BatchResult(line, None, str(error))
    return BatchResult(line, spoken.audio, headers=spoken.headers)


def _plain(text: str) -> list[dict[str, str]]:
    return [{"text": line.strip()} for line in text.splitlines() if line.strip()]


def _table(filename: str, text: str, fields: Collection[str]) -> list[dict[str, str]]:
    heading = text.partition("\n")[0]
    # Spreadsheets of many countries separate by semicolons.
    delimiter = max(",;\t", key=heading.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    columns = [name.strip().lower() for name in table.fieldnames or []]
    allowed = [*OWN_COLUMNS, *(name for name in fields if name not in NOT_PER_LINE)]
    if "text" not in columns:
        raise BatchError(f"{filename} has the columns {', '.join(columns) or 'none'}; one must be called 'text'.")
    unknown = [name for name in columns if name not in allowed]
    if unknown:
        raise BatchError(f"{filename} has a column '{unknown[0]}'; expected only {', '.join(allowed)}. Rename it.")
    table.fieldnames = columns
    rows = []
    for row in table:
        if "" in row:
            raise BatchError(
                f"Line {table.line_num} of {filename} has more cells than columns. Put a text with commas in quotes."
            )
        filled = {name: cell.strip() for name, cell in row.items() if cell and cell.strip()}
        if "text" in filled:
            rows.append(filled)
        elif filled:
            raise BatchError(f"Line {table.line_num} of {filename} has no text. Write one, or remove the line.")
    return rows
