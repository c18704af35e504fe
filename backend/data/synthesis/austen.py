"""Jane Austen's novels, from the data file of the R package janeaustenr, without R."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from backend.data.synthesis.text_filters import clean_sentence, split_sentences
from backend.errors import BadSettings

DATA_FILE = "Rdata.rdb"
# The real recordings that voices are judged beside read from this one.
KEPT_OUT = "SENSE AND SENSIBILITY"
# An R character string in the portable form: type and flags, length, bytes.
STRING = b"\x00\x04\x00\x09"
MAX_BLOCK_BYTES = 16 << 20


def austen_sentences(file_or_folder: Path) -> list[str]:
    """The usable sentences of all novels but *Sense and Sensibility*. Raises `BadSettings` for a foreign file."""
    path = file_or_folder
    if path.is_dir():
        path = next(iter(sorted(path.rglob(DATA_FILE))), path / DATA_FILE)
    if not path.is_file():
        raise BadSettings(f"There is no {DATA_FILE} in '{file_or_folder.name}'. Give the data folder of janeaustenr.")
    found: dict[str, None] = {}
    for lines in _novels(path):
        title = next((line for line in lines if line.strip()), "")
        if title.upper().startswith(KEPT_OUT):
            continue
        for paragraph in _paragraphs(lines):
            for sentence in split_sentences(paragraph):
                if (clean := clean_sentence(sentence.replace('"', ""))) is not None:
                    found[clean] = None
    if not found:
        raise BadSettings(f"'{path.name}' holds no novels. Give the {DATA_FILE} of the package janeaustenr.")
    return list(found)


def _novels(path: Path) -> Iterator[list[str]]:
    """The lines of each novel: the file is blocks of a length, then a zlib stream of one serialized R vector."""
    content, start = path.read_bytes(), 0
    while start + 4 < len(content):
        stream = zlib.decompressobj()
        try:
            block = stream.decompress(content[start + 4 :], MAX_BLOCK_BYTES)
        except zlib.error as error:
            raise BadSettings(f"'{path.name}' is no R data file. Give the {DATA_FILE} of janeaustenr.") from error
        start = len(content) - len(stream.unused_data)
        yield list(_strings(block))
        if not stream.eof:
            return


def _strings(block: bytes) -> Iterator[str]:
    place = block.find(STRING)
    while place >= 0:
        size = int.from_bytes(block[place + 4 : place + 8], "big")
        yield block[place + 8 : place + 8 + size].decode("utf-8", errors="replace")
        place = block.find(STRING, place + 8 + size)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Lines joined where a blank one parts them; headings are left out."""
    pending: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            pending.append(line.strip())
            continue
        text = " ".join(pending)
        pending = []
        if text and not re.match(r"(chapter|volume|finis|the end)\b", text, re.IGNORECASE) and not text.isupper():
            yield text
