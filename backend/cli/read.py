"""`phonogram read`: a book or an article into one sound file, in this process; stopped, it goes on where it was."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.progress import progress_bar
from backend.cli.speak import loaded_engine
from backend.errors import BadDocument, JobConflict, OutputError

if TYPE_CHECKING:
    from backend.pipeline.longform.job_service import JobService
    from backend.storage.job_models import JobRecord

LOOK_EVERY_S = 0.2
# Earlier readings of a document: one that changed in a few places is read again in no time.
N_KEPT = 3
UNLIMITED = 2**62


def read(
    document: Annotated[Path, typer.Argument(metavar="BOOK", help="A plain text, Markdown or EPUB file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write: .m4b, .mp3, .opus, .wav, .flac.")],
    voice: Annotated[str | None, typer.Option(help="A name or id of `phonogram voices`.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same book.")] = 0,
    speed: Annotated[float, typer.Option(help="2 speaks in half the time.")] = 1.0,
    temperature: Annotated[float | None, typer.Option(show_default="the voice's own")] = None,
    loudness_lufs: Annotated[float, typer.Option(help="Bring every sentence to this loudness.")] = -19.0,
    title: Annotated[str, typer.Option(help="Instead of the document's own.")] = "",
    author: Annotated[str, typer.Option(help="Instead of the document's own.")] = "",
    is_forgotten: Annotated[
        bool, typer.Option("--forget", help="Keep nothing but the output: another reading begins anew.")
    ] = False,
    is_overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Read a book or an article aloud into one file with chapters. Stopped, the same command goes on."""
    from backend.pipeline.codec.on_disk import require_free
    from backend.pipeline.longform.audiobook import BOOK_FORMATS
    from backend.pipeline.longform.job_service import JobLimits, JobService
    from backend.runtime.lru_cache import content_key
    from backend.settings import load_settings
    from backend.storage.job_models import SpeechParams
    from backend.text.documents.reader import SUFFIXES

    format = output.suffix.removeprefix(".").lower()
    if format not in BOOK_FORMATS:
        raise OutputError(f"'.{format}' is no format for a book; those are {', '.join(BOOK_FORMATS)}. Choose one.")
    require_free(output, document, is_overwrite)
    content = _content_of(document)
    settings = load_settings()
    limits = JobLimits(settings.max_book_chars, UNLIMITED, UNLIMITED, settings.job_rows)
    # A folder for each document: nothing else that was stopped is read before it.
    folder = settings.folder(settings.data_dir) / "read" / content_key(str(document.resolve()))[:32]
    delivery = SpeechParams(voice=voice, speed=speed, temperature=temperature, loudness_lufs=loudness_lufs)
    started_s = time.monotonic()
    with loaded_engine() as engine:
        desk = JobService(folder, lambda: engine, limits)
        try:
            job = desk.create(
                content, SUFFIXES.get(document.suffix.lower(), "auto"), format=format, delivery=delivery, seed=seed,
                title=title, author=author, name=document.stem, is_new=False,
            )  # fmt: skip
            _prefer(desk, job)
            with progress_bar("reading") as progress:
                job = _finished(desk, job.id, progress)
            _copy(desk.file(job.id), output)
            n_chapters = len(desk.chapters(job.id))
            skipped = [one.heard.text for one in desk.sentences(job.id) if one.heard.state == "skipped"]
        except KeyboardInterrupt:
            typer.echo("Stopped; the same command goes on from here.", err=True)
            raise
        finally:
            desk.close()
    if is_forgotten:
        shutil.rmtree(folder, ignore_errors=True)
    took_s = time.monotonic() - started_s
    typer.echo(f"{output.name}: {job.file_audio_s:.1f} s, {n_chapters} chapters, made in {took_s:.1f} s, seed {seed}")
    if skipped:
        typer.echo(f"{len(skipped)} sentences have nothing this voice can say, such as '{skipped[0][:60]}'", err=True)


def _content_of(document: Path) -> bytes:
    try:
        return document.read_bytes()
    except OSError as error:
        raise BadDocument(f"{document.name} cannot be read ({error.strerror}). Check the path.") from error


def _prefer(desk: JobService, wanted: JobRecord) -> None:
    """Let other readings of the document wait, and the oldest go."""
    others = [job for job in desk.jobs() if job.id != wanted.id]
    for job in others[:N_KEPT]:
        if job.state not in ("done", "failed", "cancelled"):
            desk.pause(job.id)
    for job in others[N_KEPT:]:
        desk.delete(job.id)
    if wanted.state in ("paused", "failed"):
        desk.resume(wanted.id)


def _finished(desk: JobService, job_id: str, progress: Callable[[int, int], None] | None) -> JobRecord:
    """The job once it is done. Raises `JobConflict` with the reason if it stopped."""
    while True:
        job = desk.job(job_id)
        if progress is not None:
            progress(job.n_done, job.n_sentences)
        if job.state == "done":
            return job
        if job.state not in ("waiting", "speaking", "writing"):
            raise JobConflict(f"The reading is {job.state}: {job.reason} The same command goes on from here.")
        time.sleep(LOOK_EVERY_S)


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    except OSError as error:
        raise OutputError(
            f"'{target.name}' cannot be written ({error.strerror}). Check the folder and the free space."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
