"""The `data list`, `data download` and `data prepare` commands: public datasets by name."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from backend.errors import BadRequest, BadSettings

LOG_INTERVAL_S = 60.0


def list_sources() -> None:
    """List the public datasets that can be downloaded by name."""
    from backend.data.sources.catalog import SOURCES

    for source in SOURCES.values():
        typer.echo(f"{source.name}: {source.contents}")
        typer.echo(f"    license  {source.license}")
        typer.echo(f"    page     {source.page}")
        if not source.is_automatic:
            typer.echo("    download by hand; `phonogram data download` says how and reads the files")
        elif len(source.parts) > 1:
            typer.echo(f"    parts    {', '.join(source.parts)} (default {', '.join(source.default_parts)})")


def download_source(
    name: Annotated[str, typer.Argument(help="Name of the dataset; `phonogram data list` shows them.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the dataset. Default: data/NAME.")] = None,
    parts: Annotated[
        list[str] | None, typer.Option("--part", metavar="PART", help="Download this part; may be repeated.")
    ] = None,
    is_accepted: Annotated[
        bool, typer.Option("--accept-license", help="I have read the license and accept it.")
    ] = False,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Download from a copy of the original hosts at this address.")
    ] = None,
    is_archive_kept: Annotated[
        bool, typer.Option("--keep-archives", help="Keep the archives after unpacking.")
    ] = False,
    species: Annotated[str, typer.Option(help="Xeno-canto: Latin or English name.")] = "",
    country: Annotated[str, typer.Option(help="Xeno-canto: country.")] = "",
    quality: Annotated[str, typer.Option(help="Xeno-canto: lowest rating, A to E.")] = "C",
    limit: Annotated[int, typer.Option(min=1, help="Xeno-canto: at most this many recordings.")] = 100,
) -> None:
    """Download a public dataset, verify and unpack it, and list its recordings with their licenses.

    The same command resumes an interrupted download.
    """
    from backend.data.sources.catalog import data_source
    from backend.data.sources.fetch import fetch, write_manifest
    from backend.data.sources.transfer import DownloadSession
    from backend.data.sources.xeno_canto import KEY_VARIABLE, BirdQuery, download_recordings

    source = data_source(name)
    folder = out or Path("data") / name
    typer.echo(f"{source.title}: {source.page}")
    typer.echo(f"License: {source.license}")
    if source.is_automatic and not is_accepted:
        if not sys.stdin.isatty():
            raise BadRequest("The license was not accepted and there is no terminal to ask. Add --accept-license.")
        typer.confirm("Do you accept this license?", abort=True)
    session = DownloadSession(mirror)
    with transfer_bar() as report:
        if name == "xeno-canto":
            query = BirdQuery(species, country, quality, limit)
            n_new = download_recordings(
                folder,
                query,
                os.environ.get(KEY_VARIABLE, ""),
                session,
                lambda n, total: report("recordings", n, total),
            )
            typer.echo(f"{n_new} new recordings")
            found = write_manifest(source, folder)
        else:
            if species or country:
                raise BadSettings("--species and --country are for xeno-canto only. Leave them out.")
            found = fetch(source, folder, parts or source.default_parts, session, report, is_archive_kept)
    licenses = ", ".join(f"{count} {license}" for license, count in sorted(found.licenses.items()))
    typer.echo(f"{found.n_recordings} recordings in {folder}: {licenses}")
    if found.n_missing:
        typer.echo(f"{found.n_missing} listed recordings are not there")


def prepare_recordings(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset, or any folder of wav, mp3, flac or ogg.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder; an existing one is continued.")],
    rate_hz: Annotated[int, typer.Option("--rate", min=8_000, max=48_000, help="Sample rate in Hz.")] = 24_000,
    peak_dbfs: Annotated[float, typer.Option("--peak", max=0, help="Level of the highest sample in dBFS.")] = -1.0,
    is_level_kept: Annotated[bool, typer.Option("--keep-level", help="Do not normalize the peak.")] = False,
    silence_dbfs: Annotated[
        float, typer.Option("--silence", max=0, help="Drop frames below this level, dBFS.")
    ] = -80.0,
    segment_s: Annotated[float, typer.Option(min=1, help="Cut longer recordings into pieces of this length.")] = 60.0,
    licenses: Annotated[
        list[str] | None,
        typer.Option("--license", metavar="NAME", help="Only recordings under it, for example CC0 or CC-BY."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split: train or heldout.")] = None,
) -> None:
    """Decode recordings once to uniform mono FLAC files for training; damaged ones are set aside with the reason."""
    from backend.data.sources.prepare import REJECTED, PrepareOptions, prepare

    options = PrepareOptions(
        rate_hz, None if is_level_kept else peak_dbfs, silence_dbfs, segment_s=segment_s,
        licenses=tuple(licenses or ()), split=split,
    )  # fmt: skip
    with transfer_bar() as report:
        made = prepare(source, out, options, lambda n, total: report("recordings", n, total))
    typer.echo(f"{made.n_pieces} files, {made.duration_s / 60:.1f} min; {made.n_rejected} recordings set aside")
    if made.n_rejected:
        typer.echo(f"The reasons are in {out / REJECTED}")


@contextmanager
def transfer_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yields a callback for (what, done, total): a bar with the time left, or a line a minute without a terminal."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def print_line(what: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= LOG_INTERVAL_S:
                last = time.monotonic()
                typer.echo(f"{what}: {done} of {total or 'unknown'}", err=True)

        yield print_line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)
