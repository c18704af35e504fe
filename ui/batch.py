"""Batches: texts of a CSV or text file, synthesized in parallel and packed into a zip file."""

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
# The server processes about this many at a time; more would only wait in its queue.
MAX_PARALLEL = 4
# Columns of the batch itself; all others are fields of `POST /tts`.
OWN_COLUMNS = ("text", "name")
# The format applies to the whole batch, and a table cannot upload files.
NOT_PER_LINE = ("format", "streaming", "references", "fit_reference", "text")


class BatchError(Exception):
    """The batch file is invalid; the message can be shown to the user."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One text of a batch; `options` are fields of `POST /tts` that override those of the batch."""

    name: str
    text: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a line: the audio file, or None with an error message."""

    line: BatchLine
    audio: bytes | None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_lines(filename: str, content: bytes, fields: Collection[str]) -> list[BatchLine]:
    """Return the lines of a file. A CSV file needs a column `text`; `name` and any of `fields` are optional.

    In any other file each line is a text. Raises `BatchError` with the line and what to do.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BatchError(f"{filename} is not UTF-8 (byte {error.start}). Save it as UTF-8 and try again.") from error
    rows = _read_table(filename, text, fields) if filename.lower().endswith(".csv") else _read_plain(text)
    if not rows:
        raise BatchError(f"{filename} holds no text. Write one text per line.")
    if len(rows) > MAX_LINES:
        raise BatchError(f"{filename} holds {len(rows)} texts; the limit is {MAX_LINES}. Split the file.")
    return [
        BatchLine(f"{index:03}-{slug_of(row.pop('name', '') or row['text'])}", row.pop("text"), row)
        for index, row in enumerate(rows, 1)
    ]


def slug_of(text: str) -> str:
    """Return the text as part of a portable file name: letters, digits and hyphens."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:40].strip("-") or "speech"


def run_batch(
    client: BackendClient, lines: Sequence[BatchLine], options: Mapping[str, Any]
) -> Iterator[tuple[int, BatchResult]]:
    """Synthesize every line; yields index and result in order of completion. A failure affects its line only."""
    pool = ThreadPoolExecutor(MAX_PARALLEL, "batch")
    try:
        pending = {pool.submit(_speak, client, line, options): index for index, line in enumerate(lines)}
        for done in as_completed(pending):
            yield pending[done], done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def zip_of(results: Sequence[BatchResult], format: str) -> bytes:
    """Return a zip file with every audio file and a table `batch.csv` of all lines."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["file", "text", "seconds", "seed", "message"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            name = f"{result.line.name}.{format}" if result.audio is not None else ""
            if result.audio is not None:
                archive.writestr(name, result.audio)
            values = [result.headers.get(header, "") for header in ("x-audio-seconds", "x-seed")]
            rows.writerow([name, result.line.text, *values, result.message])
        archive.writestr("batch.csv", table.getvalue())
    return buffer.getvalue()


def _speak(client: BackendClient, line: BatchLine, options: Mapping[str, Any]) -> BatchResult:
    try:
        speech = client.speak(line.text, {**options, **line.options})
    except BackendError as error:
        return BatchResult(line, None, str(error))
    return BatchResult(line, speech.audio, headers=speech.headers)


def _read_plain(text: str) -> list[dict[str, str]]:
    return [{"text": line.strip()} for line in text.splitlines() if line.strip()]


def _read_table(filename: str, text: str, fields: Collection[str]) -> list[dict[str, str]]:
    heading = text.partition("\n")[0]
    # Spreadsheets in many locales use semicolons.
    delimiter = max(",;\t", key=heading.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    columns = [name.strip().lower() for name in table.fieldnames or []]
    allowed = [*OWN_COLUMNS, *(name for name in fields if name not in NOT_PER_LINE)]
    if "text" not in columns:
        raise BatchError(f"{filename} has the columns {', '.join(columns) or 'none'}; one must be named 'text'.")
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
