"""`phonogram evaluate lossless`: our levels beside FLAC, WavPack and others on the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.progress import require_folder, step_bar, write_whole
from backend.errors import BadSettings


def lossless(
    audio: Annotated[Path, typer.Option(metavar="DIR", help="The folder with the WAV files, of any depth.")],
    levels: Annotated[str, typer.Option(help="Our levels to run, such as 1,5,9.")] = "5",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all results here.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture of size and speed here.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many of the files, spread evenly.")] = None,
) -> None:
    """Compare lossless coders: sizes with headers, processor time, and whether every sample came back."""
    from backend.compression.lossless.levels import LEVELS
    from backend.evaluation.lossless.coders import open_coders
    from backend.evaluation.lossless.report import lossless_table, save_lossless_plot
    from backend.evaluation.lossless.runner import evaluate_lossless, lossless_document
    from backend.evaluation.provenance import machine

    for target in (json_file, plot):
        require_folder(target)
    try:
        chosen = [int(level) for level in levels.split(",")]
    except ValueError:
        chosen = []
    if not chosen or any(level not in LEVELS for level in chosen):
        raise BadSettings(f"--levels is '{levels}'; expected numbers from 1 to 9, such as 1,5,9.")
    coders, absent = open_coders(chosen)
    with step_bar() as report:
        advance = None if report is None else lambda done, total: report(done, total, "coding")
        evaluation = evaluate_lossless(audio, coders, limit, advance)
    document = {"kind": "lossless-evaluation", "machine": machine(), **lossless_document(evaluation, absent)}
    typer.echo(lossless_table(document))
    if json_file is not None:
        write_whole(json_file, json.dumps(document, indent=1) + "\n")
    if plot is not None:
        save_lossless_plot(document, plot)
