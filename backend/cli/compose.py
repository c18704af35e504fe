"""`phonogram compose`: music from a description."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.progress import activity
from backend.errors import BadRequest, OutputError

if TYPE_CHECKING:
    from backend.pipeline.music.engine import MusicRequest
    from backend.pipeline.music.score_engine import MusicResult, ScoreEngine


def compose(
    output: Annotated[Path, typer.Option("-o", "--output", help="The sound file: .wav, .flac, .ogg, .opus, .mp3.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help='Such as "Upbeat jazz with saxophone".', show_default=False)
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds; else what the text says, else 30.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed composes another piece.")] = 0,
    tempo: Annotated[int | None, typer.Option(help="Beats a minute, 60 to 180.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help='Such as "A minor" or "Bb major".', show_default=False)] = None,
    meter: Annotated[str | None, typer.Option(help="4/4, 3/4, 6/8, 2/4, 5/4 or 12/8.", show_default=False)] = None,
    stems: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one WAV file an instrument there.", show_default=False)
    ] = None,
    midi: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a .mid file.", show_default=False)] = None,
    loudness: Annotated[float, typer.Option(min=-40, max=-8, help="Loudness in LUFS.")] = -16.0,
    engine: Annotated[str, typer.Option(help="score: composed by rules; auto: the best engine here.")] = "auto",
    is_interactive: Annotated[
        bool, typer.Option("--interactive", help="Read one description a line; each becomes a numbered file.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print the labels as one JSON object.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Compose music from a description and write it as sound, stems and MIDI."""
    import torch

    from backend.audio.files import write_audio
    from backend.pipeline.music.engine import MusicRequest
    from backend.pipeline.music.engines import resolve_engine
    from backend.pipeline.music.score_engine import ScoreEngine, composition_of

    resolve_engine(engine)
    if text is None and not is_interactive:
        raise BadRequest("There is no description. Pass it as an argument, or add --interactive.")
    torch.set_num_threads(1)
    given = MusicRequest(
        text or "music", duration, seed, tempo, key, meter, loudness_lufs=loudness, has_stems=stems is not None
    )
    loaded: ScoreEngine | None = None
    takes = _takes(given, text) if is_interactive else [given]
    for n, request in enumerate(takes, 1):
        try:
            # A request that cannot be met is rejected before the soundfont is read.
            composition_of(request)
        except BadRequest as error:
            if not is_interactive:
                raise
            typer.echo(str(error), err=True)
            continue
        sound, notes, parts = (_numbered(path, n if is_interactive else None) for path in (output, midi, stems))
        assert sound is not None
        for path in (sound, notes):
            if path is not None and path.exists() and not overwrite:
                raise OutputError(f"'{path.name}' exists. Choose another name, or add --overwrite.")
        with activity("composing") as step:
            loaded = loaded or ScoreEngine()
            music = loaded.generate(request)
            step("writing")
            write_audio(sound, music.mix)
            if notes is not None and music.midi is not None:
                notes.write_bytes(music.midi)
            if parts is not None:
                parts.mkdir(parents=True, exist_ok=True)
                for name, stem in music.stems:
                    write_audio(parts / f"{name}.wav", stem)
        _report(music, sound, request.seed, is_json)


def _takes(given: MusicRequest, text: str | None) -> Iterator[MusicRequest]:
    """One request a line of standard input; an empty line takes the last description with the next seed."""
    from dataclasses import replace

    request = given if text is not None else None
    if request is not None:
        yield request
    if sys.stdin.isatty():
        typer.echo("One description a line; an empty line: another take; quit: end.", err=True)
    for line in sys.stdin:
        words = line.strip()
        if words == "quit":
            return
        if words:
            request = replace(given, text=words)
        elif request is not None:
            request = replace(request, seed=request.seed + 1)
        else:
            continue
        yield request


def _numbered(path: Path | None, n: int | None) -> Path | None:
    """The path itself, or with a number before its suffix."""
    return path if path is None or n is None else path.with_name(f"{path.stem}-{n}{path.suffix}")


def _report(music: MusicResult, output: Path, seed: int, is_json: bool) -> None:
    if is_json:
        typer.echo(json.dumps({**music.labels, "not_understood": music.not_understood}))
        return
    labels = music.labels
    typer.echo(
        f"{output.name}: {labels['duration_s']:g} s, {labels['genre']}, {labels['mood']}, {labels['key']}, "
        f"{labels['meter']}, {labels['tempo_bpm']:g} bpm, {', '.join(labels['instruments'])}; seed {seed}"
    )
    if music.not_understood:
        typer.echo(f"not understood: {', '.join(music.not_understood)}", err=True)
