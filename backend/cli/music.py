"""`phonogram music`: corpora of rendered music and the soundfont they are made with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.progress import progress_bar
from backend.errors import BadRequest

app = typer.Typer(no_args_is_help=True, help="Render music to learn from, and make the soundfont.")


@app.callback()
def music() -> None:
    """A group of commands about music as data."""


@app.command("render-corpus")
def render_corpus(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The corpus folder; an existing one is continued.")],
    minutes: Annotated[float, typer.Option(min=0, help="Minutes of composed music the folder is brought to.")] = 60.0,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON lines with file, composer, title and license of MusicXML scores."),
    ] = None,
    score_minutes: Annotated[float, typer.Option(min=0, help="Minutes of excerpts of these scores.")] = 30.0,
    rate: Annotated[int, typer.Option(min=8000, max=48_000, help="Sample rate in Hz.")] = 32_000,
    stereo: Annotated[bool, typer.Option("--stereo", help="Two channels instead of one.")] = False,
    shortest: Annotated[float, typer.Option(min=4, help="Seconds of the shortest piece.")] = 12.0,
    longest: Annotated[float, typer.Option(min=4, help="Seconds of the longest piece.")] = 40.0,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; pieces take the ones after it.")] = 0,
    format: Annotated[str, typer.Option(help="flac or wav, 16 bits.")] = "flac",
    soundfont: Annotated[Path | None, typer.Option(metavar="FILE", help="Another .sf2 or .sf3 to play with.")] = None,
) -> None:
    """Render composed pieces and excerpts of scores, with MIDI, exact labels and captions in manifest.jsonl."""
    import torch

    from backend.music.rendering import Renderer
    from backend.pipeline.music.render_corpus import CorpusOptions, read_score_list, render_composed, render_scores

    if longest < shortest:
        raise BadRequest(f"--longest is {longest:g} and --shortest {shortest:g}; swap them.")
    if format not in ("flac", "wav"):
        raise BadRequest(f"--format is '{format}'; expected flac or wav.")
    torch.set_num_threads(1)
    options = CorpusOptions(minutes, rate, 2 if stereo else 1, (shortest, longest), seed, format)
    renderer = Renderer(soundfont)
    with progress_bar("composing") as progress:
        n_composed = render_composed(out, renderer, options, progress)
    n_scores = 0
    if scores is not None:
        files = read_score_list(scores)
        with progress_bar("scores") as progress:
            options = CorpusOptions(score_minutes, rate, 2 if stereo else 1, (shortest, longest), seed, format)
            n_scores = render_scores(out, renderer, options, files, progress)
    typer.echo(f"'{out.name}': {n_composed} composed pieces and {n_scores} excerpts of scores are new")


@app.command("cut-soundfont")
def cut(
    zones: Annotated[
        Path, typer.Argument(metavar="SF3", help="FluidR3Mono_GM.sf3 (Debian: fluidr3mono-gm-soundfont).")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .sf3 to write.")],
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="SF2", help="FluidR3_GM.sf2 (Debian: fluid-soundfont-gm): the same samples, uncompressed."
        ),
    ] = None,
    compression: Annotated[
        float, typer.Option(min=0, max=1, help="Of the Vorbis samples: 0 largest, 1 smallest.")
    ] = 0.6,
) -> None:
    """Cut a General MIDI soundfont to the instruments that are composed for."""
    from backend.errors import BadCheckpoint
    from backend.music.soundfont import SoundFont
    from backend.music.soundfont_cut import COMMENT, cut_soundfont

    for source in (zones, originals):
        if source is not None and not source.is_file():
            raise BadCheckpoint(f"There is no soundfont '{source.name}'. Check the path.")
    font = cut_soundfont(SoundFont.read(zones), SoundFont.read(originals) if originals else None, compression)
    content = font.to_bytes(COMMENT)
    output.write_bytes(content)
    typer.echo(f"{output.name}: {len(font.presets)} presets, {len(font.samples)} samples, {len(content)} bytes")
