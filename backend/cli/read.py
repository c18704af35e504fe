"""`phonogram read`: synthesizes a book or an article to one audio file, in this process and resumable."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.atomic_file import atomic_path
from backend.cli.progress import progress_bar
from backend.cli.speak import loaded_engine
from backend.errors import BadDocument, JobConflict, OutputError

if TYPE_CHECKING:
    from backend.pipeline.longform.job_service import JobService
    from backend.storage.job_models import JobRecord

POLL_INTERVAL_S = 0.2
# Earlier jobs of a document are kept, so that an edited document only needs its changed sentences.
MAX_KEPT_JOBS = 3
UNLIMITED = 2**62


def read(
    document: Annotated[Path, typer.Argument(metavar="BOOK", help="A plain text, Markdown, HTML or EPUB file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write: .m4b, .mp3, .opus, .wav, .flac.")],
    voice: Annotated[str | None, typer.Option(help="Voice id or name from `phonogram voices`.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed reproduces the same audio.")] = 0,
    speed: Annotated[float, typer.Option(help="2 halves the duration.")] = 1.0,
    temperature: Annotated[float | None, typer.Option(show_default="of the voice")] = None,
    loudness_lufs: Annotated[float, typer.Option(help="Normalize every sentence to this loudness.")] = -19.0,
    title: Annotated[str, typer.Option(help="Overrides the title of the document.")] = "",
    author: Annotated[str, typer.Option(help="Overrides the author of the document.")] = "",
    is_temporary: Annotated[
        bool, typer.Option("--forget", help="Delete all intermediate files; the next run starts from scratch.")
    ] = False,
    is_overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Synthesize a book or an article to one file with chapters. The same command resumes after an interruption."""
    from backend.pipeline.codec.on_disk import require_writable
    from backend.pipeline.longform.audiobook import BOOK_FORMATS
    from backend.pipeline.longform.job_service import JobLimits, JobService
    from backend.runtime.lru_cache import content_key
    from backend.settings import load_settings
    from backend.storage.job_models import SpeechParams
    from backend.text.documents.reader import SUFFIXES

    format = output.suffix.removeprefix(".").lower()
    if format not in BOOK_FORMATS:
        raise OutputError(f"'.{format}' is not a book format; expected one of {', '.join(BOOK_FORMATS)}. Choose one.")
    require_writable(output, document, is_overwrite)
    content = _read_document(document)
    settings = load_settings()
    limits = JobLimits(settings.max_book_chars, UNLIMITED, UNLIMITED, settings.job_rows)
    # One folder per document, so that interrupted jobs of other documents do not run first.
    folder = settings.folder(settings.data_dir) / "read" / content_key(str(document.resolve()))[:32]
    delivery = SpeechParams(voice=voice, speed=speed, temperature=temperature, loudness_lufs=loudness_lufs)
    started_s = time.monotonic()
    with loaded_engine() as engine:
        service = JobService(folder, lambda: engine, limits)
        try:
            job = service.create(
                content, SUFFIXES.get(document.suffix.lower(), "auto"), format=format, delivery=delivery, seed=seed,
                title=title, author=author, name=document.stem, is_new=False,
            )  # fmt: skip
            _prioritize(service, job)
            with progress_bar("reading") as progress:
                job = _wait(service, job.id, progress)
            _copy(service.file(job.id), output)
            n_chapters = len(service.chapters(job.id))
            skipped = [one.chosen_take.text for one in service.sentences(job.id) if one.chosen_take.state == "skipped"]
        except KeyboardInterrupt:
            typer.echo("Stopped; the same command resumes from here.", err=True)
            raise
        finally:
            service.close()
    if is_temporary:
        shutil.rmtree(folder, ignore_errors=True)
    elapsed_s = time.monotonic() - started_s
    typer.echo(
        f"{output.name}: {job.file_audio_s:.1f} s, {n_chapters} chapters, generated in {elapsed_s:.1f} s, seed {seed}"
    )
    for note in job.left_out:
        typer.echo(f"left out: {note}", err=True)
    if skipped:
        typer.echo(f"skipped {len(skipped)} sentences that this voice cannot speak: '{skipped[0][:60]}'", err=True)


def _read_document(document: Path) -> bytes:
    try:
        return document.read_bytes()
    except OSError as error:
        raise BadDocument(f"{document.name} cannot be read ({error.strerror}). Check the path.") from error


def _prioritize(service: JobService, job: JobRecord) -> None:
    """Pauses other jobs of the document, deletes the oldest, and resumes this one."""
    others = [other for other in service.jobs() if other.id != job.id]
    for other in others[:MAX_KEPT_JOBS]:
        if other.state not in ("done", "failed", "cancelled"):
            service.pause(other.id)
    for other in others[MAX_KEPT_JOBS:]:
        service.delete(other.id)
    if job.state in ("paused", "failed"):
        service.resume(job.id)


def _wait(service: JobService, job_id: str, progress: Callable[[int, int], None] | None) -> JobRecord:
    """Waits for the job and returns it. Raises `JobConflict` with the reason if it stops."""
    while True:
        job = service.job(job_id)
        if progress is not None:
            progress(job.n_done, job.n_sentences)
        if job.state == "done":
            return job
        if job.state not in ("waiting", "speaking", "writing"):
            raise JobConflict(f"The job is {job.state}: {job.reason} The same command resumes from here.")
        time.sleep(POLL_INTERVAL_S)


def _copy(source: Path, target: Path) -> None:
    try:
        with atomic_path(target) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise OutputError(
            f"'{target.name}' cannot be written ({error.strerror}). Check the folder and the free space."
        ) from error
