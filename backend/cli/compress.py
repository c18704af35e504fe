"""`phonogram compress` and `phonogram decompress`: sound files to `.pgl` and back, byte for byte."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backend.compression.lossless.stream import LosslessReport

STREAM = Path("-")
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="The file or folder to write; - is standard output.")
]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Cores to use; all if not given.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


def compress(
    source: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="WAV or AIFF; - is standard input.")],
    output: Output = None,
    level: Annotated[int, typer.Option(min=1, max=9, help="1 is fastest, 9 smallest.")] = 5,
    is_verified: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode every block as a check.")] = True,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Compress sound files losslessly: the file comes back byte for byte, with its tags and headers."""
    from backend.compression.lossless.stream import compress as compress_stream
    from backend.pipeline.lossless.compress import compress_file, workers

    with _announced_compilation():
        if source == STREAM or output == STREAM:
            with _streams(source, output) as (file, target):
                report = compress_stream(file, target, level=level, is_verified=is_verified, n_workers=workers(threads))
            typer.echo(f"{_described(report)}", err=True)
            return

        def work(place: Path, target: Path, progress: Callable[[int], None]) -> LosslessReport:
            return compress_file(
                place, target, level=level, is_verified=is_verified, n_workers=threads, is_overwrite=overwrite,
                progress=progress,
            )  # fmt: skip

        _over(source, output, work, is_compressing=True)


def decompress(
    source: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A .pgl file; - is standard input.")],
    output: Output = None,
    is_verifying: Annotated[bool, typer.Option("--verify", help="Check every byte, write nothing.")] = False,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the sound files that `.pgl` files were made of, or with --verify only check them."""
    from backend.compression.lossless.stream import decompress as decompress_stream
    from backend.pipeline.lossless.compress import decompress_file, verify_file, workers

    with _announced_compilation():
        if not is_verifying and (source == STREAM or output == STREAM):
            with _streams(source, output) as (file, target):
                decompress_stream(file, target, n_workers=workers(threads))
            return

        def work(place: Path, target: Path, progress: Callable[[int], None]) -> LosslessReport:
            if is_verifying:
                return verify_file(place, n_workers=threads, progress=progress)
            return decompress_file(place, target, n_workers=threads, is_overwrite=overwrite, progress=progress)

        _over(source, output, work, is_compressing=False, is_writing=not is_verifying)


def _over(
    source: Path, output: Path | None, work: Callable[[Path, Path, Callable[[int], None]], LosslessReport], *,
    is_compressing: bool, is_writing: bool = True,
) -> None:  # fmt: skip
    """Run `work` on a file or every file of a folder; files that fail are named at the end and make the exit code 2."""
    from backend.errors import PhonogramError
    from backend.pipeline.lossless.compress import SUFFIX, folder_pairs

    if source.is_dir():
        pairs = folder_pairs(source, output or source, is_compressing=is_compressing)
    else:
        name = source.name + SUFFIX if is_compressing else source.name.removesuffix(SUFFIX)
        if not is_compressing and name == source.name:
            name += ".wav"
        pairs = [(source, source.with_name(name) if output is None else output / name if output.is_dir() else output)]
    total = sum(path.stat().st_size for path, _ in pairs if path.is_file())
    failures, n_source, n_compressed = [], 0, 0
    with _bar("compressing" if is_compressing else "decompressing", total) as advance:
        for path, target in pairs:
            size = path.stat().st_size if path.is_file() else 0
            try:
                if is_writing and source.is_dir():
                    target.parent.mkdir(parents=True, exist_ok=True)
                before = n_compressed
                # Decompression counts what it writes; both bars run over the bytes on disk.
                report = work(path, target, partial(_advance_within, advance, n_source, size))
            except PhonogramError as error:
                if len(pairs) == 1:
                    raise
                failures.append(f"{path.name}: {error}")
                continue
            finally:
                n_source += size
            n_compressed = before + (report.compressed_bytes if is_compressing else report.source_bytes)
            advance(n_source, n_compressed / max(n_source, 1) if is_compressing else None)
            if len(pairs) == 1:
                typer.echo(f"{target.name if is_writing else path.name}: {_described(report)}")
    if len(pairs) > 1:
        typer.echo(f"{len(pairs) - len(failures)} of {len(pairs)} files, {n_source} to {n_compressed} bytes")
    for failure in failures:
        typer.echo(failure, err=True)
    if failures:
        raise typer.Exit(2)


def _advance_within(advance: Callable[[int, float | None], None], start: int, size: int, done: int) -> None:
    advance(start + min(done, size), None)


def _described(report: LosslessReport) -> str:
    modes = ", ".join(f"{count} {name}" for name, count in sorted(report.modes.items())) or "none"
    size = f"{report.source_bytes} bytes"
    if report.compressed_bytes:
        size += f", {report.compressed_bytes} compressed ({100 * report.ratio:.2f} %)"
    return f"{report.duration_s:.3f} s, {size}, blocks: {modes}"


@contextmanager
def _streams(source: Path, output: Path | None) -> Iterator[tuple[Any, Any]]:
    from backend.errors import BadSettings
    from backend.pipeline.lossless.compress import opened
    from backend.pipeline.lossless.whole_file import whole_file

    if output is None:
        raise BadSettings("Standard input needs an output. Pass -o FILE, or -o - for standard output.")
    with opened(source) if source != STREAM else _standard(sys.stdin.buffer) as file:
        with whole_file(output) if output != STREAM else _standard(sys.stdout.buffer) as target:
            yield file, target


@contextmanager
def _standard(stream: Any) -> Iterator[Any]:
    yield stream
    stream.flush()


@contextmanager
def _announced_compilation() -> Iterator[None]:
    from backend.compression.lossless.kernel import on_compile

    on_compile(lambda: typer.echo("Compiling the coder, once for this machine (about 20 s) ...", err=True))
    yield


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int, float | None], None]]:
    """A bar over bytes with speed, time left and the ratio so far, if somebody watches."""
    if not sys.stderr.isatty():
        yield lambda done, ratio: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(done: int, ratio: float | None) -> None:
            bar.update(task, completed=done)
            if ratio is not None:
                bar.update(task, description=f"{label} to {100 * ratio:.1f} %")

        yield advance
