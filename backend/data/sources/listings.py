"""Checksums and sizes that repositories publish of their files: Zenodo and the Internet Archive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from backend.data.sources.source import Fetcher, RemoteFile
from backend.errors import NotAvailable


def with_zenodo_checksums(record: int, fetcher: Fetcher, files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
    """Fills in size and MD5 of `files` from the listing of a Zenodo record."""
    listing = fetcher.json(f"https://zenodo.org/api/records/{record}")
    listed = {entry["key"]: entry for entry in _entries(listing, "files", "key")}
    missing = [file.name for file in files if file.name not in listed]
    if missing:
        raise NotAvailable(f"Zenodo record {record} does not list {', '.join(missing)}. See its page for what changed.")
    return tuple(
        replace(
            file,
            checksum=str(listed[file.name].get("checksum") or file.checksum),
            size_bytes=listed[file.name].get("size", file.size_bytes),
        )
        for file in files
    )


def zenodo_file(record: int, name: str, checksum: str = "") -> RemoteFile:
    """A file of a Zenodo record."""
    return RemoteFile(name, f"https://zenodo.org/records/{record}/files/{quote(name)}", checksum)


def with_archive_checksums(fetcher: Fetcher, files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
    """Fills in size and MD5 of those of `files` that lie in the Internet Archive."""
    filled = []
    for file in files:
        prefix = "https://archive.org/download/"
        if file.url.startswith(prefix):
            item, name = file.url[len(prefix) :].split("/", 1)
            listing = fetcher.json(f"https://archive.org/metadata/{item}")
            listed = {entry["name"]: entry for entry in _entries(listing, "files", "name")}
            if name in listed:
                entry = listed[name]
                md5, size = entry.get("md5"), str(entry.get("size", ""))
                file = replace(
                    file, checksum=f"md5:{md5}" if md5 else "", size_bytes=int(size) if size.isdigit() else None
                )
        filled.append(file)
    return tuple(filled)


def _entries(listing: Any, name: str, key: str) -> list[dict[str, Any]]:
    entries = listing.get(name) if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        raise NotAvailable(f"The listing has no '{name}'. The service has changed; see the page of the dataset.")
    return [entry for entry in entries if isinstance(entry, dict) and key in entry]
