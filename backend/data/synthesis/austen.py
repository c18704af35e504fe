"""Reads Jane Austen's novels from the data file of the R package janeaustenr, without R."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from backend.data.synthesis.text_filters import clean_sentence, split_sentences
from backend.errors import BadSettings

DATA_FILE = "Rdata.rdb"
# Held out: the evaluation recordings read from this novel.
HELD_OUT_TITLE = "SENSE AND SENSIBILITY"
# An R character string in the portable form: type and flags, length, bytes.
STRING = b"\x00\x04\x00\x09"
MAX_BLOCK_BYTES = 16 << 20


def austen_sentences(file_or_folder: Path) -> list[str]:
    """Returns the usable sentences of all novels except *Sense and Sensibility*. Raises `BadSettings` for another file."""
    path = file_or_folder
    if path.is_dir():
        path = next(iter(sorted(path.rglob(DATA_FILE))), path / DATA_FILE)
    if not path.is_file():
        raise BadSettings(f"'{file_or_folder.name}' has no {DATA_FILE}. Pass the data folder of janeaustenr.")
    sentences: dict[str, None] = {}
    for lines in _novels(path):
        title = next((line for line in lines if line.strip()), "")
        if title.upper().startswith(HELD_OUT_TITLE):
            continue
        for paragraph in _paragraphs(lines):
            for sentence in split_sentences(paragraph):
                if (clean := clean_sentence(sentence.replace('"', ""))) is not None:
                    sentences[clean] = None
    if not sentences:
        raise BadSettings(f"'{path.name}' has no novels. Pass the {DATA_FILE} of the package janeaustenr.")
    return list(sentences)


def _novels(path: Path) -> Iterator[list[str]]:
    """Yields the lines of each novel: the file is blocks of a length and a zlib stream of one serialized R vector."""
    content, start = path.read_bytes(), 0
    while start + 4 < len(content):
        stream = zlib.decompressobj()
        try:
            block = stream.decompress(content[start + 4 :], MAX_BLOCK_BYTES)
        except zlib.error as error:
            raise BadSettings(f"'{path.name}' is not an R data file. Pass the {DATA_FILE} of janeaustenr.") from error
        start = len(content) - len(stream.unused_data)
        yield list(_strings(block))
        if not stream.eof:
            return


def _strings(block: bytes) -> Iterator[str]:
    position = block.find(STRING)
    while position >= 0:
        size = int.from_bytes(block[position + 4 : position + 8], "big")
        yield block[position + 8 : position + 8 + size].decode("utf-8", errors="replace")
        position = block.find(STRING, position + 8 + size)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Joins lines up to each blank line; drops headings."""
    pending: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            pending.append(line.strip())
            continue
        text = " ".join(pending)
        pending = []
        if text and not re.match(r"(chapter|volume|finis|the end)\b", text, re.IGNORECASE) and not text.isupper():
            yield text
