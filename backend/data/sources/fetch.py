"""Downloads a dataset, unpacks it and writes its manifest and NOTICE."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from backend.atomic_file import write_atomically
from backend.data.manifest import MANIFEST_NAME
from backend.data.sources.source import DataSource, RemoteFile
from backend.data.sources.transfer import DownloadSession
from backend.data.sources.unpack import unpack
from backend.errors import BadSettings, NotAvailable, PhonogramError

DOWNLOADS = "downloads"
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """What a download brought: recordings listed and their licenses, and listed files that are not there."""

    folder: Path
    n_recordings: int
    n_missing: int
    licenses: dict[str, int]


def fetch(
    source: DataSource, folder: Path, parts: Sequence[str], session: DownloadSession, report: Report,
    is_archive_kept: bool = False,
) -> FetchedSource:  # fmt: skip
    """Downloads `parts` of `source` into `folder`; a repeated call resumes. `report` gets (what, done, total).

    Raises `BadSettings` for unknown parts and `NotAvailable` when there is nothing to download automatically and the
    files are not there yet.
    """
    unknown = [part for part in parts if part not in source.parts]
    if unknown:
        raise BadSettings(
            f"{source.name} has no part {', '.join(unknown)}; its parts are {', '.join(source.parts) or 'none'}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = [file for part in parts for file in source.parts[part]]
    if files:
        listed = tuple(files) if source.lister is None else source.lister(session, tuple(files))
        _require_space(folder, listed)
        downloads = folder / DOWNLOADS
        downloads.mkdir(exist_ok=True)
        done_path = downloads / "unpacked.json"
        done = set(json.loads(done_path.read_text())) if done_path.is_file() else set()
        missing = [file for file in listed if file.name not in done]
        for file in missing:
            session.download(file, downloads, partial(report, file.name))
        for file in missing:
            _place(downloads / file.name, folder, report)
            done.add(file.name)
        write_atomically(done_path, json.dumps(sorted(done)).encode())
        if not is_archive_kept:
            for file in missing:
                (downloads / file.name).unlink(missing_ok=True)
    try:
        return write_manifest(source, folder)
    except PhonogramError as error:
        if source.is_automatic:
            raise
        raise NotAvailable(f"{source.title}: {source.page}. {source.instructions.format(folder=folder)}") from error


def write_manifest(source: DataSource, folder: Path) -> FetchedSource:
    """Writes `manifest.jsonl` and `NOTICE` for the recordings in `folder`. Raises `NotAvailable` if there are none."""
    lines, n_missing = [], 0
    licenses: Counter[str] = Counter()
    authors: dict[str, set[str]] = {}
    for row in source.rows(folder):
        if not (folder / row.file).is_file():
            n_missing += 1
            continue
        entry = asdict(row) | {"id": f"{source.name}/{row.file}", "class": row.label}
        del entry["label"]
        lines.append(json.dumps(entry, ensure_ascii=False))
        licenses[row.license or "unknown"] += 1
        authors.setdefault(row.license or "unknown", set()).add(row.author or row.source)
    if not lines:
        raise NotAvailable(f"'{folder.name}' has no recordings of {source.title}. Download or unpack them there.")
    write_atomically(folder / MANIFEST_NAME, ("\n".join(lines) + "\n").encode())
    notice = [f"{source.title}: {source.page}", f"License: {source.license}", ""]
    for license, count in sorted(licenses.items()):
        notice.append(f"{license}: {count} recordings, by")
        notice += [f"  {author}" for author in sorted(authors[license])]
    write_atomically(folder / "NOTICE", ("\n".join(notice) + "\n").encode())
    return FetchedSource(folder, len(lines), n_missing, dict(licenses))


def _place(file: Path, folder: Path, report: Report) -> None:
    """Unpacks an archive; a table of labels goes beside the recordings of its set."""
    if file.suffix == ".csv":
        target = folder / file.stem
        target.mkdir(exist_ok=True)
        shutil.copyfile(file, target / "labels.csv")
    elif not file.suffix.startswith(".z0"):
        target = folder / file.stem if file.with_suffix(".csv").is_file() else folder
        unpack(file, target, lambda done, total: report(f"unpacking {file.name}", done, total))


def _require_space(folder: Path, files: Sequence[RemoteFile]) -> None:
    wanted = 2 * sum(file.size_bytes or 0 for file in files)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise NotAvailable(
            f"The download and its files need about {wanted / 1e9:.1f} GB; {free / 1e9:.1f} GB are free. "
            "Choose fewer parts or another disk."
        )
