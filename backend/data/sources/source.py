"""What a public dataset is: its files, its license and how it is laid out on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download. `checksum` is `md5:` or `sha256:` and hexadecimal digits, empty when none is published."""

    name: str
    url: str
    checksum: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One recording of a dataset: `file` relative to its folder, and what is known of it."""

    file: str
    label: str = ""
    license: str = ""
    author: str = ""
    source: str = ""
    speaker: str = ""
    split: str = "train"


Reader = Callable[[Path], Iterator[SourceRow]]


class Fetcher:
    """What a lister may ask for: small JSON answers. Replaced by the transfer module's session."""

    def json(self, url: str) -> Any:
        """Returns the parsed JSON at `url`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class DataSource:
    """A dataset by name. `parts` maps the parts that can be chosen to their files; `lister` adds checksums or files.

    Without files the dataset cannot be downloaded automatically, and `instructions` says how to get it.
    """

    name: str
    title: str
    contents: str
    license: str
    page: str
    rows: Reader
    parts: dict[str, tuple[RemoteFile, ...]]
    default_parts: tuple[str, ...] = ()
    lister: Callable[[Fetcher, tuple[RemoteFile, ...]], tuple[RemoteFile, ...]] | None = None
    instructions: str = ""

    @property
    def is_automatic(self) -> bool:
        """Whether `phonogram data download` can fetch it."""
        return bool(self.parts)
