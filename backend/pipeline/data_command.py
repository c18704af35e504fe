"""The `data` commands: `data tokenize`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make and prepare speech to learn from.", no_args_is_help=True)

LINE_EVERY_S = 60.0


@app.callback()
def root() -> None:
    """Make and prepare speech to learn from."""


@app.command()
def tokenize(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.jsonl of a speech corpus.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the token shards; goes on if it is there.")],
    codec: Annotated[
        str | None, typer.Option(metavar="NAME_OR_FOLDER", help="A codec folder or the name of a checkpoint.")
    ] = None,
    heldout: Annotated[
        list[str] | None, typer.Option(metavar="SPEAKER", help="Leave out this speaker and its mixes; * and ? work.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 1,
) -> None:
    """Turn a speech corpus into token shards, each symbol's place in the frames included."""
    # Imported here: `--help` should not wait seconds for them.
    import torch

    from backend.data.heldout import HeldOut
    from backend.data.manifest import Clip
    from backend.data.shards import ShardSpec, ShardWriter
    from backend.data.utterances import read_utterances
    from backend.device import find_device
    from backend.pipeline.tokenize import tokenize_corpus
    from backend.weights import codes_hash, load_codec
    from backend.weights.shelf import find_codec

    torch.set_num_threads(threads)
    kept_out = HeldOut(speakers=tuple(heldout or ()))
    utterances = [
        item for item in read_utterances(manifest) if not kept_out.covers(Clip(item.id, item.path, item.speaker))
    ]
    folder = find_codec(codec)
    model = load_codec(folder, find_device(device).torch_device())
    spec = model.spec
    writer = ShardWriter(
        out, ShardSpec(spec.name, codes_hash(folder), spec.sample_rate_hz, spec.hop_samples, spec.codebook_sizes)
    )
    with progress_bar("tokenizing") as progress:
        report = tokenize_corpus(utterances, model, writer, progress=progress)
    typer.echo(
        f"{report.n_written} utterances written ({report.duration_s / 3600:.2f} h, {report.n_aligned} aligned), "
        f"{report.n_present} were there, {len(report.skipped)} skipped"
    )
    for name, reason in list(report.skipped.items())[:10]:
        typer.echo(f"skipped {name}: {reason}")


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, a line a minute elsewhere."""
    if not sys.stderr.isatty():
        start = last = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done and now - last >= LINE_EVERY_S:
                last = now
                left_min = (now - start) / done * (total - done) / 60
                typer.echo(f"{label} {done}/{total}, about {left_min:.0f} min left", err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
